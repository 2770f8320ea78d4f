//! What happened, line by line, and its hash: the same seed must give the same lines. What is random in a line (tokens of
//! SIP, identifiers) is named in the order of its first appearance.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufWriter, Write as _};
use std::time::Duration;

/// Lines that are kept for the report of a failure.
const TAIL: usize = 150;

pub struct Trace {
    hasher: DefaultHasher,
    lines: u64,
    tail: VecDeque<String>,
    names: HashMap<String, usize>,
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// `DIALGATE_SIM_TRACE` names a file that takes all lines; with the run's name in its own, for runs that are compared.
    pub fn new(name: &str) -> Self {
        let file = std::env::var("DIALGATE_SIM_TRACE").ok();
        let file = file.map(|path| BufWriter::new(File::create(format!("{path}.{name}")).unwrap()));
        Self {
            hasher: DefaultHasher::new(),
            lines: 0,
            tail: VecDeque::new(),
            names: HashMap::new(),
            file,
        }
    }

    pub fn line(&mut self, now: Duration, what: std::fmt::Arguments<'_>) {
        let line = format!("{:>10.3} {what}", now.as_secs_f64() * 1000.0);
        self.hasher.write(line.as_bytes());
        self.lines += 1;
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").unwrap();
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// The name of something random.
    pub fn name(&mut self, token: &str) -> usize {
        let next = self.names.len();
        *self.names.entry(token.to_owned()).or_insert(next)
    }

    pub fn hash(&self) -> (u64, u64) {
        (self.lines, self.hasher.finish())
    }

    pub fn tail(&mut self) -> String {
        if let Some(file) = &mut self.file {
            file.flush().unwrap();
        }
        self.tail.iter().map(|line| format!("\n  {line}")).collect()
    }
}
