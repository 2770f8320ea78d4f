//! The `dialgate` program: reads the command line, starts tracing and the runtime, hands over to `cli`.

use std::process::ExitCode;

use clap::Parser;
use dialgate::telemetry::LogConfig;
use dialgate::{cli, telemetry};

fn main() -> ExitCode {
    let command_line = cli::Cli::parse();
    // A service starts its log itself once it has read how; a single question speaks up only when something is wrong.
    if !command_line.command.is_service() {
        telemetry::start(&LogConfig::default(), "warn");
    }
    // One cryptographic library for everything that speaks TLS. It fails only where one was chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli::run(command_line)),
        Err(problem) => {
            eprintln!("error: cannot start the runtime: {problem}");
            ExitCode::FAILURE
        }
    }
}
