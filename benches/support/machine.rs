//! The machine, and the processor time of processes and threads as the kernel counts it.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// One clock tick of `/proc/PID/stat`: USER_HZ, 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A paragraph on what the figures were taken on.
pub fn describe(smoke: bool) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| {
        let value = line.strip_prefix("model name")?;
        Some(value.trim_start_matches([' ', '\t', ':']).to_owned())
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = std::env::temp_dir();
    let postgres = super::postgres::newest_programs()
        .map(|programs| said(&programs.join("postgres"), "--version"))
        .unwrap_or_else(|| "no PostgreSQL".to_owned());
    let warning = if smoke {
        "\n\nThis is the small run: it shows that the benches work, its figures mean nothing."
    } else if cfg!(debug_assertions) {
        "\n\nThis is a build for debugging: its figures mean nothing."
    } else {
        ""
    };
    format!(
        "{cores} cores ({}), Linux {}, {} on {}; {postgres}; SQLite {}; {}. {}{warning}",
        model.unwrap_or_else(|| "unknown".to_owned()),
        kernel.trim(),
        said(Path::new("stat"), "-fc%T").trim(),
        folder.display(),
        super::home::sqlite_version(),
        said(Path::new("sipp"), "-v").trim(),
        load(),
    )
}

/// How busy the machine is.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let one: String = text.split(' ').take(1).collect();
    format!("Load of the last minute: {one}.")
}

/// The first line that a program says, or that it is not there.
fn said(program: &Path, argument: &str) -> String {
    let mut command = Command::new(program);
    command.arg(argument);
    if argument.starts_with("-fc") {
        command.arg(std::env::temp_dir());
    }
    let output = command.output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.as_deref().unwrap_or_default().lines();
    line.map(str::trim)
        .find(|line| !line.is_empty())
        .map_or_else(|| format!("no {}", program.display()), str::to_owned)
}

/// Processor time of a process so far, all of its threads, those that ended too.
pub fn process(pid: u32) -> Duration {
    let fields = stat(pid);
    TICK * (fields[11] + fields[12])
}

/// The most memory that a process has held so far, in bytes.
pub fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// The memory that a process holds now, in bytes.
pub fn memory(pid: u32) -> u64 {
    const PAGE: u64 = 4_096;
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * PAGE
}

/// Waits for a child of one thread, and tells its processor time to the nanosecond: it is read between the child's end and
/// our taking note of it. What the kernel counts of children afterwards comes in hundredths of a second.
pub fn ended(child: &mut Child) -> (ExitStatus, Duration) {
    let pid = child.id();
    let has_ended = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        after_name(&text).unwrap().starts_with('Z')
    };
    while !has_ended() {
        std::thread::sleep(TICK);
    }
    let spent = threads(pid, "");
    (child.wait().unwrap(), spent)
}

/// Processor time of a process and all that it started.
pub fn family(pid: u32) -> Duration {
    let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let child: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let parent: u32 = after_name(&text)?.split(' ').nth(1)?.parse().ok()?;
        (parent == pid).then_some(child)
    });
    let children: Duration = children.map(family).sum();
    process(pid) + children
}

/// Processor time of the threads of a process whose name begins so, to the nanosecond.
pub fn threads(pid: u32, name: &str) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let times = tasks.filter_map(|task| {
        let folder = task.ok()?.path();
        let comm = std::fs::read_to_string(folder.join("comm")).ok()?;
        comm.starts_with(name).then(|| scheduled(&folder))
    });
    times.sum()
}

fn scheduled(folder: &Path) -> Duration {
    let text = std::fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
    let nanos = text
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .unwrap_or_default();
    Duration::from_nanos(nanos)
}

/// The numbers of `/proc/PID/stat` behind the name and the state.
fn stat(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut fields = vec![0];
    let rest = after_name(&text).unwrap_or_default().split(' ').skip(1);
    fields.extend(rest.map(|field| field.trim().parse::<u32>().unwrap_or_default()));
    fields.resize(fields.len().max(20), 0);
    fields
}

fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ").map(|(_, rest)| rest)
}
