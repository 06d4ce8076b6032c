//! `upnext demo`: the whole line on a generated world.

mod premieres;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use rayon::prelude::*;
use serde_json::json;
use upnext_data::synthetic::{World, WorldConfig};
use upnext_data::{ItemFeatures, ItemId, Prepared, Question, UserId};
use upnext_encode::{Columns, hashing};
use upnext_eval::{Asked, Metric, Metrics, Part, Report, baselines, rank};
use upnext_generate::{Adjustment, Generator, Method, Options, Request, Threads};
use upnext_model::folder::Served;
use upnext_tables::{PrepareOptions, RowSink};
use upnext_train::{RunConfig, TrainOptions};

use self::premieres::Premieres;
use crate::args::DemoArgs;
use crate::failure::BadInput;
use crate::{evaluate as evaluation, prepare, say, shown, train};

/// The run that the demo trains.
const CONFIG: &str = include_str!("../../configs/demo.toml");
/// Says that a folder was made by the demo and may be replaced by it.
const MARK: &str = "MADE-BY-UPNEXT-DEMO";
/// Users whose lists are printed.
const SHOWN: usize = 3;

pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let started = Instant::now();
    let folder = fresh_folder(&args.out)?;
    say::news("1/6 generating a streaming world");
    let world = World::new(WorldConfig::demo(), args.seed)?;
    let premieres = Premieres::draw(&world, args.seed)?;
    let (events, items) = (folder.join("events.csv"), folder.join("items.csv"));
    upnext_tables::write_events(&events, &world.catalog()?, &premieres.log()?)?;
    upnext_tables::write_items(&items, &premieres.released()?)?;
    upnext_tables::write_items(&folder.join("tonight.csv"), &premieres.tonight()?)?;

    say::news("2/6 preparing, and hashing what titles are like");
    let (data_dir, run_dir) = (folder.join("data"), folder.join("run"));
    let options = PrepareOptions { events: vec![events], items: Some(items), ..PrepareOptions::default() };
    prepare::prepare(&options, &data_dir)?;
    let data = Prepared::open(&data_dir)?;

    let columns = Columns::choose(&data.catalog, &["title".into()], &["genres".into(), "franchise".into()])?;
    let file = hashing::encode(&data.catalog, &columns, hashing::WIDTH)?;
    file.write(&folder.join("features.safetensors"))?;
    let (features, _) = ItemFeatures::of(&data.catalog, &[file])?;

    say::news("3/6 training");
    let mut config = RunConfig::from_toml(CONFIG, Path::new("configs/demo.toml"))?;
    config.set("train.seed", &args.seed.to_string())?;
    let options = TrainOptions { features: Some(&features), ..TrainOptions::default() };
    train::train(&config, &data, &run_dir, options)?;

    say::news("4/6 evaluating");
    let model_dir = run_dir.join("model");
    let served = upnext_model::folder::open(&model_dir)?;
    let (report, truth) = measure(&served, &data, &world, &premieres)?;

    say::news("5/6 generating lists");
    let generator = Generator::from_parts(
        served,
        Options { threads: Threads::Pool(rayon::current_num_threads()), ..Options::default() },
    )?;
    let lists = write_lists(&generator, &data, &folder.join("lists.csv"))?;

    say::news("6/6 adding titles that were released after training");
    let reception = premieres.arrive(&model_dir, &data, &folder.join("model-tonight"))?;
    if args.json {
        let mut object = serde_json::to_value(&report)?;
        object["truth"] = serde_json::to_value(&truth)?;
        object["premieres"] = reception.json()?;
        object["seconds"] = json!(started.elapsed().as_secs_f64());
        say::json(&object)?;
    } else {
        say::result(&report.table())?;
        say::result(&verdict(&report, &truth))?;
        say::result(&lists)?;
        say::result(&reception.text())?;
        say::result(&next_steps(&folder, started.elapsed().as_secs_f64()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An empty folder at `out`; one that an earlier demo made is emptied first.
fn fresh_folder(out: &Path) -> Result<PathBuf> {
    let mark = out.join(MARK);
    if out.exists() {
        let empty = out.is_dir() && fs::read_dir(out)?.next().is_none();
        if !mark.is_file() && !empty {
            let what = format!(
                "{} exists and was not made by the demo; name another folder with --out",
                out.display()
            );
            return Err(BadInput(what).into());
        }
        fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    fs::write(&mark, "upnext demo replaces this folder when it is run again.\n")
        .with_context(|| format!("writing {}", mark.display()))?;
    Ok(out.to_owned())
}

/// The model and the baselines, and the ceiling: ranking by the world's own true probabilities.
fn measure(
    served: &Served,
    data: &Prepared,
    world: &World,
    premieres: &Premieres,
) -> Result<(Report, Metrics)> {
    let protocol: upnext_data::Protocol = served.manifest.protocol.parse()?;
    let split = protocol.split(&data.histories)?;
    let asked = Asked {
        histories: &data.histories,
        split: &split,
        part: Part::Test,
        items: data.catalog.len(),
        trained: &served.counts,
        seed: 1,
    };
    let report = evaluation::measure(served, Adjustment::default(), &asked, evaluation::Rivals::With(None))?;
    let truth = Truth::new(world, data, premieres)?;
    let ranks: Vec<u32> =
        asked.questions().par_iter().map(|question| truth.rank(data, question)).collect::<Result<_>>()?;
    Ok((report, Metrics::of_ranks(&ranks)))
}

/// The generated world, asked by the ids of a prepared folder.
struct Truth<'a> {
    world: &'a World,
    premieres: &'a Premieres,
    /// For each item of the prepared folder its place in the world.
    items: Vec<ItemId>,
    /// For each user of the prepared folder its place in the world.
    users: Vec<UserId>,
}

impl<'a> Truth<'a> {
    fn new(world: &'a World, data: &Prepared, premieres: &'a Premieres) -> Result<Self> {
        let (all_items, all_users) = (world.catalog()?, world.histories()?);
        let users = data.histories.iter().map(|(user, _)| all_users.find_user(data.histories.user_key(user)));
        let items = (0..data.catalog.len() as u32).map(|id| all_items.find(data.catalog.key(ItemId(id))));
        let users =
            users.collect::<Option<_>>().context("the prepared folder has users that the world lacks")?;
        let items =
            items.collect::<Option<_>>().context("the prepared folder has items that the world lacks")?;
        Ok(Self { world, premieres, items, users })
    }

    /// Rank of the target, seen dropped, by the true probability of each item.
    fn rank(&self, data: &Prepared, question: &Question) -> Result<u32> {
        let user = self.users[question.user.index()];
        let position = self.premieres.position(user, question.start);
        let log_probs = self.world.next_log_probs(user, position);
        let scores: Vec<f32> = self.items.iter().map(|item| log_probs[item.index()] as f32).collect();
        let target = question.held_out(&data.histories).items[0];
        let ranks = rank::ranks(&scores, target, question.input(&data.histories).items, &mut Vec::new());
        Ok(ranks.dropped)
    }
}

fn verdict(report: &Report, truth: &Metrics) -> String {
    let ndcg = |metrics: &Metrics| metrics.get(Metric::Ndcg(10)).unwrap_or(f64::NAN);
    let model = ndcg(&report.metrics.dropped);
    let markov = report.baseline(baselines::WINDOWED).map_or(f64::NAN, |rival| ndcg(&rival.system.dropped));
    let ceiling = ndcg(truth);
    format!(
        "\nNDCG@10, protocol {}, {} items, seen dropped: model {model:.4}, windowed Markov {markov:.4}, the world's own \
         probabilities {ceiling:.4}\nthe model reaches {:.2} times windowed Markov and {:.0} % of the ceiling\n",
        report.protocol,
        say::count(report.items),
        model / markov,
        100.0 * model / ceiling
    )
}

/// Lists for everybody into a file, and for a few users as text.
fn write_lists(generator: &Generator, data: &Prepared, path: &Path) -> Result<String> {
    let map = generator.item_map(&data.catalog);
    let requests: Vec<Request> = data
        .histories
        .iter()
        .map(|(_, history)| map.request(history.items).length(10).method(Method::Beam { width: 8 }).build())
        .collect::<Result<_, _>>()?;
    let mut sink = RowSink::create(path)?;
    let mut text = String::new();
    for ((user, history), answer) in data.histories.iter().zip(generator.generate(&requests)) {
        let slate = answer?;
        let key = data.histories.user_key(user);
        sink.slate(key, &slate)?;
        if user.index() >= SHOWN {
            continue;
        }
        text.push_str(&shown::list(key, history.items, &data.catalog, &slate, generator.catalog()));
    }
    let rows = sink.finish()?;
    say::news(&format!("{}: {} rows", path.display(), say::count(rows)));
    Ok(text)
}

fn next_steps(folder: &Path, seconds: f64) -> String {
    let folder = folder.display();
    format!(
        "\ndone in {}; everything is in {folder}. With data of your own (user_id,item_id,timestamp):\n\
         \x20 upnext prepare EVENTS.csv --items ITEMS.csv --out DATA\n\
         \x20 upnext train --config configs/ml-1m/small.toml --data DATA --out RUN\n\
         \x20 upnext evaluate --model RUN/model --data DATA\n\
         \x20 upnext generate --model RUN/model --data DATA --method beam --out lists.csv\n",
        say::duration(seconds)
    )
}
