//! The command line: arguments in, one library call, an exit code out.
//!
//! Exit codes: 0 done, 1 failure, 2 bad input or usage, 3 partly done.
#![forbid(unsafe_code)]

mod args;
mod compare;
mod demo;
mod doctor;
mod encode;
mod evaluate;
mod export;
mod extend;
mod failure;
mod generate;
mod index;
mod inspect;
mod interrupt;
mod open;
mod prepare;
mod rules;
mod say;
mod shown;
mod similar;
mod train;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use upnext_kernels::level;

use crate::args::{Cli, Command, KernelLevel};

/// For a training's large, short-lived buffers; `train` has it keep its pages between steps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // A damaged Parquet file makes its decoder panic, and a damaged tokenizer its own, which is caught and told as an
        // error.
        if !upnext_tables::is_decoding() && !upnext_encode::is_tokenizing() {
            told(panic);
        }
    }));
    let cli = Cli::parse();
    run(&cli).unwrap_or_else(|error| {
        say::news(&format!("error: {error:#}"));
        failure::exit_code(&error)
    })
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if let Some(threads) = cli.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
        pool.build_global().with_context(|| format!("starting {threads} threads"))?;
    }
    if let Some(wanted) = cli.kernels {
        level::pin(match wanted {
            KernelLevel::Portable => level::Level::Portable,
            KernelLevel::Avx2 => level::Level::Avx2,
            KernelLevel::Avx512 => level::Level::Avx512,
        })?;
    }
    match &cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Prepare(args) => prepare::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Train(args) => train::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Index(args) => index::run(args),
        Command::Extend(args) => extend::run(args),
        Command::Similar(args) => similar::run(args),
        Command::Export(args) => export::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Doctor(args) => doctor::run(args),
    }
}
