//! One line in, one line out, in the same order, on all cores: what a stream of cases or numbers goes through. Memory is
//! bounded whatever the length of the stream, and whoever writes one line and waits gets its answer at once.

use std::io::{self, BufRead, Write};
use std::num::NonZero;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;

/// No case and no question about a number is longer.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Lines that one worker answers at a time, at most.
const CHUNK_LINES: usize = 256;

/// One line of input, counted from 1.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number.
    pub number: u64,
    /// Its bytes without the line's end; of a line that is too long, its beginning.
    pub bytes: &'a [u8],
    /// It was longer than [`LINE_BYTES_MAX`].
    pub is_cut: bool,
}

/// Lines that came in together.
struct Chunk {
    first: u64,
    lines: Vec<(Vec<u8>, bool)>,
}

/// Answers every line with `answer`, which writes exactly one line; what it returns is gathered by `add`.
pub fn answer<T: Default + Send>(
    input: impl BufRead + Send,
    output: &mut impl Write,
    answer: impl Fn(Line<'_>, &mut Vec<u8>) -> T + Sync,
    mut add: impl FnMut(T),
) -> anyhow::Result<()> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let (work, jobs) = mpsc::sync_channel::<(Chunk, SyncSender<Answered<T>>)>(workers);
    // The writer takes the answers in the order of the questions; this queue is what bounds the memory.
    let (order, answers) = mpsc::sync_channel::<Receiver<Answered<T>>>(2 * workers);
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((chunk, reply)) = next_job(&jobs) {
                    // A writer that failed has gone away.
                    let _ = reply.send(answer_chunk(&chunk, &answer));
                }
            });
        }
        let reader = scope.spawn(move || {
            read(input, |chunk| {
                let (reply, answered) = mpsc::sync_channel(1);
                order.send(answered).is_ok() && work.send((chunk, reply)).is_ok()
            })
        });
        let written = write(&answers, output, &mut add);
        // A reader that waits for a place in the queue must not wait for ever.
        drop(answers);
        let read = if written.is_err() {
            Ok(())
        } else {
            joined(reader)
        };
        written?;
        read.context("cannot read the input")
    })
}

fn joined(reader: thread::ScopedJoinHandle<'_, io::Result<()>>) -> io::Result<()> {
    reader
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The answers to one chunk.
struct Answered<T> {
    text: Vec<u8>,
    notes: Vec<T>,
}

fn next_job<J>(jobs: &Mutex<Receiver<J>>) -> Option<J> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.recv().ok()
}

fn answer_chunk<T>(chunk: &Chunk, answer: &impl Fn(Line<'_>, &mut Vec<u8>) -> T) -> Answered<T> {
    let mut text = Vec::new();
    let lines = (chunk.first..).zip(&chunk.lines);
    let notes = lines
        .map(|(number, (bytes, is_cut))| {
            let line = Line {
                number,
                bytes,
                is_cut: *is_cut,
            };
            answer(line, &mut text)
        })
        .collect();
    Answered { text, notes }
}

/// Writes the answers as they come in, and flushes whenever the next one is not there yet.
fn write<T>(
    answers: &Receiver<Receiver<Answered<T>>>,
    output: &mut impl Write,
    add: &mut impl FnMut(T),
) -> anyhow::Result<()> {
    loop {
        let next = match answers.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                output.flush()?;
                match answers.recv() {
                    Ok(next) => next,
                    Err(_) => break,
                }
            }
        };
        let Ok(answered) = next.recv() else { break };
        output.write_all(&answered.text)?;
        answered.notes.into_iter().for_each(&mut *add);
    }
    output.flush()?;
    Ok(())
}

/// Cuts the input into chunks: what has arrived is passed on without waiting for more.
fn read(mut input: impl BufRead, mut pass: impl FnMut(Chunk) -> bool) -> io::Result<()> {
    let (mut number, mut rest, mut is_cut) = (1_u64, Vec::new(), false);
    loop {
        let arrived = match input.fill_buf() {
            Ok(arrived) => arrived,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let length = arrived.len();
        let is_end = length == 0;
        let mut lines = Vec::new();
        for piece in arrived.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(rest.len());
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            is_cut |= text.len() > room;
            rest.extend(text.iter().take(room));
            if ended {
                lines.push((std::mem::take(&mut rest), std::mem::take(&mut is_cut)));
            }
        }
        if is_end && !rest.is_empty() {
            lines.push((std::mem::take(&mut rest), is_cut));
        }
        input.consume(length);
        while !lines.is_empty() {
            let later = lines.split_off(lines.len().min(CHUNK_LINES));
            let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
            let chunk = Chunk {
                first: number,
                lines: std::mem::replace(&mut lines, later),
            };
            number = number.saturating_add(count);
            if !pass(chunk) {
                return Ok(());
            }
        }
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(input: &[u8]) -> (String, Vec<u64>) {
        let (mut output, mut numbers) = (Vec::new(), Vec::new());
        let answer_line = |line: Line<'_>, out: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(line.bytes);
            out.extend(format!("{}:{}:{}\n", line.number, text.len(), line.is_cut).bytes());
            line.number
        };
        answer(input, &mut output, answer_line, |number| {
            numbers.push(number)
        })
        .unwrap();
        (String::from_utf8(output).unwrap(), numbers)
    }

    #[test]
    fn every_line_has_its_answer_in_order() {
        let input: String = (0..5_000).map(|n| "x".repeat(n % 50) + "\n").collect();
        let (output, numbers) = echo(input.as_bytes());
        for (n, line) in output.lines().enumerate() {
            assert_eq!(line, format!("{}:{}:false", n + 1, n % 50));
        }
        assert_eq!(numbers, (1..=5_000).collect::<Vec<u64>>());
        assert_eq!(echo(b""), (String::new(), Vec::new()));
        assert_eq!(echo(b"a\n\nlast").0, "1:1:false\n2:0:false\n3:4:false\n");
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_the_next_is_read() {
        let mut input = vec![b'x'; 2 * LINE_BYTES_MAX];
        input.extend(b"\nshort\n");
        let (output, _) = echo(&input);
        assert_eq!(output, format!("1:{LINE_BYTES_MAX}:true\n2:5:false\n"));
    }

    /// Hands out one line, and the next only when the first was answered.
    struct Patient {
        sent: usize,
        answered: Receiver<()>,
    }

    impl io::Read for Patient {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("only read by lines")
        }
    }

    impl BufRead for Patient {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            if self.sent == 3 {
                return Ok(b"");
            }
            if self.sent > 0 {
                let waited = self
                    .answered
                    .recv_timeout(std::time::Duration::from_secs(20));
                waited.expect("the line before must be answered");
            }
            Ok(b"line\n")
        }

        fn consume(&mut self, length: usize) {
            self.sent += usize::from(length > 0);
        }
    }

    struct Told(SyncSender<()>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let _ = self.0.try_send(());
            Ok(())
        }
    }

    #[test]
    fn who_waits_for_an_answer_gets_it() {
        let (told, answered) = mpsc::sync_channel(8);
        let input = Patient { sent: 0, answered };
        let mut lines = 0;
        answer(input, &mut Told(told), |_, _| (), |()| lines += 1).unwrap();
        assert_eq!(lines, 3);
    }

    #[test]
    fn a_reader_of_ours_that_goes_away_ends_it() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let input = "x\n".repeat(100_000);
        let echo = |_: Line<'_>, out: &mut Vec<u8>| out.push(b'\n');
        assert!(answer(input.as_bytes(), &mut Closed, echo, |()| ()).is_err());
    }
}
