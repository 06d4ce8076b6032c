//! How fast is an epoch over real histories beside PyTorch's?
//!
//! Real histories differ in length. upnext reads them one after the other without padding; PyTorch pads, either all
//! windows to the longest or, windows sorted by length, each batch to its own longest. All train the same windows in
//! steps of 128, each in a process of its own, interleaved: real tokens a second, their ratio, and peak memory.
//!
//!     upnext prepare interactions.csv.zst --items items.csv.zst --out DATA
//!     cargo bench --bench epoch -- CONFIG DATA     (configs/ml-1m/small.toml, configs/amazon-beauty/small.toml)
//!     cargo bench --bench epoch -- CONFIG DATA 16              the first 16 steps of the epoch
//!     cargo bench --bench epoch -- CONFIG DATA all PyTorch     upnext beside the peers so named

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod interleave;
mod peers;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use upnext_data::{Batches, ItemId, Prepared, popularity};
use upnext_kernels::allocator::keep_pages;
use upnext_model::Model;
use upnext_train::RunConfig;
use upnext_train::adam::Adam;
use upnext_train::config::LossKind;
use upnext_train::plan::Planner;
use upnext_train::step::Learner;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TURNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(arguments) = interleave::worker() {
        return work(&arguments[0], &arguments[1], arguments[2] == "full", arguments[3].parse()?);
    }
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let (Some(config), Some(data)) = (arguments.next(), arguments.next()) else {
        println!("which histories? cargo bench --bench epoch -- CONFIG DATA [STEPS|all [PEER]]");
        return Ok(());
    };
    let steps = match arguments.next().as_deref() {
        None | Some("all") => usize::MAX,
        Some(steps) => steps.parse().map_err(|_| format!("steps: \"all\" or a number, not {steps:?}"))?,
    };
    let named = arguments.next().unwrap_or_default();
    let (run, prepared) = (config_of(&config)?, Prepared::open(Path::new(&data))?);
    let batches = batches(&run, &prepared)?;
    let windows = tempfile::NamedTempFile::new()?;
    let count = write(&batches, steps, windows.path())?;

    let (model, items) = (&run.model, prepared.catalog.len());
    let path = windows.path().display();
    let sizes = format!(
        "--width {} --layers {} --heads {} --hidden {} --window {} --dropout {} --items {items} --batches {path}",
        model.width, model.layers, model.heads, model.hidden, model.window, model.dropout
    );
    let negatives = run.loss.count;
    let peer = |layout: &str, dropout: f32| -> Command {
        let rest = format!("--layout {layout} --attention-dropout {dropout} --negatives {negatives}");
        peers::python("sasrec.py", &format!("epoch {sizes} {rest}"))
    };
    let rectools = sizes.replace(&format!("--hidden {} ", model.hidden), "");
    let own = |loss: &str| interleave::ourselves(&[&config, &data, loss, &steps.to_string()]);
    let mut workers = vec![
        ("upnext".into(), own("as configured")?),
        ("upnext, full softmax".into(), own("full")?),
        ("PyTorch, padded".into(), peer("padded", model.dropout)),
        ("PyTorch, padded, fused attention".into(), peer("padded", 0.0)),
        ("PyTorch, bucketed".into(), peer("bucketed", model.dropout)),
        ("PyTorch, bucketed, fused attention".into(), peer("bucketed", 0.0)),
        ("RecTools SASRec, softmax".into(), peers::python("rectools_epoch.py", &rectools)),
    ];
    workers.retain(|(name, _): &(String, Command)| name.starts_with("upnext") || name.contains(&named));
    let title =
        format!("{count} steps of {config}; all but the second line and RecTools: {negatives} negatives");
    interleave::print(&title, "tokens", &interleave::interleave(workers, TURNS)?);
    Ok(())
}

fn config_of(path: &str) -> Result<RunConfig, Box<dyn Error>> {
    Ok(RunConfig::from_toml(&std::fs::read_to_string(path)?, Path::new(path))?)
}

fn batches<'a>(run: &RunConfig, data: &'a Prepared) -> Result<Batches<'a>, Box<dyn Error>> {
    let split = run.train.protocol.split(&data.histories)?;
    Ok(Batches::new(&data.histories, &split.train, run.model.window, run.train.batch, run.train.seed)?)
}

/// Writes the first epoch's batches for the peers, each as `b, n, offsets (b + 1), tokens (n), targets (n)` behind
/// their number; gives that number.
fn write(batches: &Batches<'_>, steps: usize, path: &Path) -> Result<usize, Box<dyn Error>> {
    let epoch = batches.epoch(0);
    let count = epoch.len().min(steps);
    let mut words = vec![count as u32];
    for batch in (0..count).map(|index| epoch.batch(index)) {
        words.extend([batch.users.len() as u32, batch.tokens.len() as u32]);
        words.extend(batch.offsets.iter().map(|&offset| offset as u32));
        words.extend(batch.tokens.iter().chain(&batch.targets).map(|&ItemId(id)| id));
    }
    std::fs::write(path, words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(count)
}

/// Epochs over real histories, planned and computed one step after the other.
fn work(config: &str, data: &str, full: bool, steps: usize) -> Result<(), Box<dyn Error>> {
    let (mut run, prepared) = (config_of(config)?, Prepared::open(Path::new(data))?);
    if full {
        run.loss.kind = LossKind::FullSoftmax;
    }
    let split = run.train.protocol.split(&prepared.histories)?;
    let counts = popularity::counts(&prepared.histories, &split.train, prepared.catalog.len());
    let batches = batches(&run, &prepared)?;
    let model = Model::new(run.model.clone(), prepared.catalog.len(), 1)?;
    let mut planner = Planner::new(&run.loss, run.model.tied, &counts, 1);
    let adam = Adam::new(&model);
    let mut learner = Learner::new(model, adam, &run)?;
    let (epoch, mut step) = (batches.epoch(0), 0);
    keep_pages();
    interleave::serve(|| {
        let (started, mut tokens, mut loss) = (Instant::now(), 0, f64::NAN);
        for index in 0..epoch.len().min(steps) {
            let plan = planner.plan(step, epoch.batch(index))?;
            loss = learner.step(&plan, 1e-3)?.loss;
            (tokens, step) = (tokens + plan.token_rows.len(), step + 1);
        }
        Ok((started.elapsed().as_secs_f64(), tokens, loss))
    })
}
