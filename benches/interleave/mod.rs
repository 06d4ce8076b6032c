//! Workers that take turns: what is compared runs in processes of its own, interleaved, so that a machine that slows
//! down or speeds up does so for all of them.
//!
//! A worker sets up, prints a line, and does one turn a line of its input, answering `SECONDS WORK`. At the end of its
//! input it prints the peak of its memory in bytes, and its last loss.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Turns that are not counted: caches fill, threads start, allocators grow.
const WARM_UP: usize = 2;

/// A worker's process and the two ends to talk to it.
struct Worker {
    child: Child,
    ask: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// Work a second, one a turn.
    rates: Vec<f64>,
    /// Seconds of a turn.
    seconds: Vec<f64>,
}

/// What a worker did.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// What it is.
    pub(crate) name: String,
    /// Median seconds of a turn.
    pub(crate) seconds: f64,
    /// Median of work a second.
    pub(crate) rate: f64,
    /// Least and most of it.
    pub(crate) range: (f64, f64),
    /// Peak of its memory in bytes.
    pub(crate) peak: u64,
    /// The loss of its last step, NaN where there is none.
    pub(crate) loss: f64,
}

impl Worker {
    fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut worker = Self { child, ask, answers, rates: Vec::new(), seconds: Vec::new() };
        worker.answer()?;
        Ok(worker)
    }

    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        Ok(self.answers.next().ok_or("the worker ended early")??)
    }

    /// One turn: seconds, and work a second.
    fn turn(&mut self) -> Result<(f64, f64), Box<dyn Error>> {
        writeln!(self.ask.as_mut().ok_or("the worker has ended")?)?;
        let (seconds, work) = pair(&self.answer()?)?;
        Ok((seconds, work / seconds))
    }

    fn end(mut self, name: String) -> Result<Measured, Box<dyn Error>> {
        self.ask = None;
        let (peak, loss) = pair(&self.answer()?)?;
        self.child.wait()?;
        let (seconds, _) = median(self.seconds);
        let (rate, range) = median(self.rates);
        Ok(Measured { name, seconds, rate, range, peak: peak as u64, loss })
    }
}

fn pair(line: &str) -> Result<(f64, f64), Box<dyn Error>> {
    let (first, second) = line.split_once(' ').ok_or_else(|| format!("not two numbers: {line}"))?;
    Ok((first.parse()?, second.parse()?))
}

/// The median, and least and most.
fn median(mut values: Vec<f64>) -> (f64, (f64, f64)) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], (values[0], values[values.len() - 1]))
}

/// Starts all commands and lets them take turns, so many of each after the warm-up. Who cannot start is left out.
///
/// # Errors
/// When a worker ends early, or does not speak as a worker does.
#[expect(clippy::print_stderr, reason = "a bench of minutes says where it is")]
pub(crate) fn interleave(
    commands: Vec<(String, Command)>,
    turns: usize,
) -> Result<Vec<Measured>, Box<dyn Error>> {
    let mut workers = Vec::new();
    for (name, mut command) in commands {
        match Worker::start(&mut command) {
            Ok(worker) => workers.push((worker, name)),
            Err(error) => println!("left out: {name} ({error})"),
        }
    }
    for turn in 0..WARM_UP + turns {
        eprintln!("turn {} of {}", turn + 1, WARM_UP + turns);
        for (worker, name) in &mut workers {
            let (seconds, rate) = worker.turn().map_err(|error| format!("{name}: {error}"))?;
            if turn >= WARM_UP {
                worker.seconds.push(seconds);
                worker.rates.push(rate);
            }
        }
    }
    workers.into_iter().map(|(worker, name)| worker.end(name)).collect()
}

/// This bench as a worker of itself, with these arguments.
///
/// # Errors
/// When the running program cannot be found.
pub(crate) fn ourselves(arguments: &[&str]) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--worker").args(arguments);
    Ok(command)
}

/// What stands behind `--worker`, if this process is a worker.
#[must_use]
pub(crate) fn worker() -> Option<Vec<String>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--worker");
    arguments.next().map(|_| arguments.collect())
}

/// Sets up done: answers each line of input by a turn of `(seconds, work)`, and at its end tells memory and loss.
///
/// # Errors
/// When a turn fails.
pub(crate) fn serve(
    mut turn: impl FnMut() -> Result<(f64, usize, f64), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    writeln!(std::io::stdout(), "ready")?;
    let mut last = f64::NAN;
    for line in std::io::stdin().lines() {
        line?;
        let (seconds, work, loss) = turn()?;
        writeln!(std::io::stdout(), "{seconds} {work}")?;
        last = loss;
    }
    writeln!(std::io::stdout(), "{} {last}", upnext_train::memory::peak_rss_bytes().unwrap_or(0))?;
    Ok(())
}

/// Prints a table: rate, memory and loss of each, and the first one's rate over each other's.
pub(crate) fn print(title: &str, unit: &str, measured: &[Measured]) {
    println!("\n{title}\n");
    println!("| | median ms | {unit}/s (least to most) | ratio | peak MiB | last loss |");
    println!("|---|---|---|---|---|---|");
    for Measured { name, seconds, rate, range: (least, most), peak, loss } in measured {
        let (ms, ratio, peak) = (seconds * 1e3, measured[0].rate / rate, peak >> 20);
        let loss = if loss.is_nan() { "–".into() } else { format!("{loss:.3}") };
        println!("| {name} | {ms:.2} | {rate:.0} ({least:.0} to {most:.0}) | {ratio:.2} | {peak} | {loss} |");
    }
}
