//! Whole runs on a tiny world: what they write, and that nothing but configuration and data moves their weights.

mod bf16;
mod device;
mod guard;
mod horizons;
mod onward;
mod repair;
mod resume;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use upnext_data::chance::{Key, Purpose, below};
use upnext_data::{Catalog, Histories, ItemId, Strings};
use upnext_model::folder;

use super::*;
use crate::summary::Ended;
use crate::{Error, Every};

const USERS: u64 = 45;
const ITEMS: u64 = 40;

/// Viewers who mostly go from one item to the next.
fn data(seed: u64) -> Prepared {
    let (mut items, mut times, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
    for user in 0..USERS {
        let mut rng = Key { seed, purpose: Purpose::World, step: 0, part: user }.rng();
        let mut item = below(&mut rng, ITEMS);
        for event in 0..5 + below(&mut rng, 9) {
            items.push(ItemId(item as u32));
            times.push(event as i64);
            let jumps = below(&mut rng, 8) == 0;
            item = (item + if jumps { 1 + below(&mut rng, ITEMS - 1) } else { 1 }) % ITEMS;
        }
        offsets.push(items.len() as u64);
    }
    let keys: Strings = (0..ITEMS).map(|item| format!("item{item:03}")).collect();
    let users: Strings = (0..USERS).map(|user| format!("user{user:03}")).collect();
    prepared(&Catalog::new(keys, vec![]).unwrap(), &Histories::new(users, offsets, items, times).unwrap())
}

fn prepared(catalog: &Catalog, histories: &Histories) -> Prepared {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    Prepared::write(&folder, catalog, histories, serde_json::Value::Null, false).unwrap();
    Prepared::open(&folder).unwrap()
}

const TINY: &str = "
    model = { layers = 1, width = 8, heads = 2, hidden = 12, rank = 8, window = 10, dropout = 0.1 }
    loss = { count = 12 }
    train = { users = 8, lr = 1e-2, warmup_steps = 3, max_epochs = 3, patience = 9, seed = 4 }
";

fn config(overrides: &[(&str, &str)]) -> RunConfig {
    let mut config = RunConfig::from_toml(TINY, "tiny.toml".as_ref()).unwrap();
    config.set_all(overrides).unwrap();
    config
}

fn options() -> TrainOptions<'static> {
    TrainOptions { checkpoint_every: Every::Steps(4), ..TrainOptions::default() }
}

fn resume() -> TrainOptions<'static> {
    TrainOptions { resume: true, ..options() }
}

/// A run and all that it reported.
struct Done {
    summary: Result<Summary>,
    events: Vec<Event>,
    dir: PathBuf,
    _keep: Option<TempDir>,
}

impl Done {
    fn losses(&self) -> Vec<(u64, u64)> {
        let of = |event: &Event| match event {
            Event::Step { step, loss, .. } => Some((*step, loss.to_bits())),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }

    fn summary(&self) -> &Summary {
        self.summary.as_ref().unwrap()
    }
}

fn go(config: &RunConfig, data: &Prepared, dir: &Path, options: &TrainOptions<'_>) -> Done {
    let mut events = Vec::new();
    let summary = train(config, data, dir, options, &mut |event| events.push(event.clone()));
    Done { summary, events, dir: dir.to_owned(), _keep: None }
}

fn run(config: &RunConfig, data: &Prepared) -> Done {
    let keep = tempfile::tempdir().unwrap();
    let done = go(config, data, &keep.path().join("run"), &options());
    Done { _keep: Some(keep), ..done }
}

/// Every file that holds weights, by name: the last checkpoint's tensors and the best model.
fn weights(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let newest =
        fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut files = vec![newest.join("state.safetensors")];
    files.extend(fs::read_dir(run.join("model")).unwrap().map(|entry| entry.unwrap().path()));
    let name = |path: &PathBuf| path.strip_prefix(run).unwrap().display().to_string();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn assert_same_weights(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (weights(found), weights(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{what}: {name} differs");
    }
}

#[test]
fn a_run_folder_holds_what_it_promises() {
    let (config, data) = (config(&[]), data(1));
    let done = run(&config, &data);
    let summary = done.summary();
    let steps = match &done.events[0] {
        Event::Started { steps_per_epoch, negatives: 12, items: 40, resumed: None, .. } => {
            *steps_per_epoch as u64
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((summary.steps, summary.epochs, summary.ended), (3 * steps, 3, Ended::MaxEpochs));
    assert!(
        summary.best.as_ref().unwrap().ndcg_10() > 0.0
            && summary.tokens > 0
            && summary.tokens_per_second > 0.0
    );
    let text = fs::read_to_string(done.dir.join("config.toml")).unwrap();
    assert_eq!(RunConfig::from_toml(&text, "config.toml".as_ref()).unwrap(), config);
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(done.dir.join("summary.json")).unwrap()).unwrap();
    for key in ["steps", "tokens", "tokens_per_second", "peak_rss_bytes", "best", "seconds"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert!(json["best"]["ndcg@10"].is_f64() && json["best"]["hr@10"].is_f64());
    let log = fs::read_to_string(done.dir.join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["event"] == kind).count() as u64;
    assert_eq!((of("started"), of("step"), of("validated")), (1, 3 * steps, 3));
    let served = folder::open(&done.dir.join("model")).unwrap();
    assert_eq!(served.counts.iter().sum::<u64>(), data.histories.events() as u64 - 2 * USERS);
    let kept = fs::read_dir(done.dir.join("checkpoints")).unwrap().count();
    assert!((2..=3).contains(&kept), "{kept} checkpoints");
}

#[test]
fn threads_move_no_bit() {
    let (config, data) = (config(&[("train.max_epochs", "30"), ("train.max_steps", "100")]), data(1));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&config, &data))
    };
    let (one, two) = (on(1), on(2));
    assert_eq!(one.losses().len(), 100);
    assert_eq!(one.losses(), two.losses());
    assert_same_weights(&two.dir, &one.dir, "two threads");
}

#[test]
fn an_existing_run_is_neither_touched_nor_mixed() {
    let (config, data) = (config(&[("train.max_steps", "3")]), data(1));
    let done = run(&config, &data);
    let again = |config: &RunConfig, data: &Prepared, options: &TrainOptions<'_>| {
        go(config, data, &done.dir, options).summary.unwrap_err()
    };
    assert!(matches!(again(&config, &data, &options()), Error::Exists(_)));
    let mut other = config.clone();
    other.set("train.lr", "0.5").unwrap();
    let message = again(&other, &data, &resume()).to_string();
    assert!(
        message.contains("the configuration differs: train.lr is 0.01 in the run and 0.5 now"),
        "{message}"
    );
    let message = again(&config, &self::data(2), &resume()).to_string();
    assert!(message.contains("the prepared data differs"), "{message}");
    let overwrite = TrainOptions { overwrite: true, ..options() };
    assert_eq!(go(&other, &data, &done.dir, &overwrite).summary().steps, 3);
    let strange = tempfile::tempdir().unwrap();
    fs::write(strange.path().join("thesis.tex"), "x").unwrap();
    let error = go(&config, &data, strange.path(), &overwrite).summary.unwrap_err();
    assert!(matches!(error, Error::NotARun(_)));
    assert!(strange.path().join("thesis.tex").exists());
}

#[test]
fn patience_and_steps_end_a_run() {
    let data = data(1);
    let impatient =
        run(&config(&[("train.patience", "1"), ("train.lr", "1e-9"), ("train.max_epochs", "50")]), &data);
    assert_eq!(impatient.summary().ended, Ended::Patience);
    let short = run(&config(&[("train.max_steps", "7"), ("train.eval_every", "3")]), &data);
    assert_eq!((short.summary().steps, short.summary().ended), (7, Ended::MaxSteps));
    let validated = |event: &Event| match event {
        Event::Validated { step, .. } => Some(*step),
        _ => None,
    };
    assert_eq!(short.events.iter().filter_map(validated).collect::<Vec<_>>(), [3, 6, 7]);
}

#[test]
fn users_too_short_for_questions_still_train_and_leave_a_model() {
    let users: Strings = ["ann", "bob"].into_iter().collect();
    let items = [0, 1, 1, 2].map(ItemId).to_vec();
    let keys: Strings = ["a", "b", "c"].into_iter().collect();
    let histories = Histories::new(users, vec![0, 2, 4], items, vec![1, 2, 1, 2]).unwrap();
    let data = prepared(&Catalog::new(keys, vec![]).unwrap(), &histories);
    let done = run(&config(&[]), &data);
    assert_eq!((done.summary().steps, &done.summary().best), (3, &None));
    assert!(matches!(done.events[0], Event::Started { negatives: 3, questions: 0, .. }));
    assert!(folder::open(&done.dir.join("model")).is_ok());
}

#[test]
fn the_log_and_the_seed_decide_nothing_else() {
    let data = data(1);
    let (a, b) = (run(&config(&[]), &data), run(&config(&[("train.seed", "5")]), &data));
    assert_ne!(a.losses(), b.losses());
    let time = TrainOptions { checkpoint_every: Every::Time(std::time::Duration::ZERO), ..options() };
    let keep = tempfile::tempdir().unwrap();
    let often = go(&config(&[]), &data, &keep.path().join("run"), &time);
    assert_eq!(often.losses(), a.losses());
    assert_same_weights(&often.dir, &a.dir, "checkpoints by time");
}
