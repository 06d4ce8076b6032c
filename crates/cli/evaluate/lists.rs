//! `upnext evaluate --method`: whole lists against all that came next.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use upnext_data::ItemFeatures;
use upnext_eval::evaluate::Options as Watched;
use upnext_eval::lists::top;
use upnext_eval::rank::Seen;
use upnext_eval::{Asked, ListMetrics, ListReport, Made, baselines};
use upnext_generate::{Generator, Options, Request, Scoring, Threads};
use upnext_model::folder::{Served, open_index};

use crate::args::{EvaluateArgs, MethodName};
use crate::rules::Rules;
use crate::say;

/// Lists that are made at once.
const BATCH: usize = 256;

pub(super) fn run(
    args: &EvaluateArgs,
    served: Served,
    asked: &Asked<'_>,
    features: Option<&ItemFeatures>,
) -> Result<ExitCode> {
    let scoring = args.scoring.scoring()?;
    let index = match scoring.needs_index() {
        true => open_index(&args.model, &served.manifest)?,
        false => None,
    };
    let keep_seen = args.seen.keep(served.generation.keep_seen);
    let options =
        Options { threads: Threads::Pool(rayon::current_num_threads()), scoring, ..Options::default() };
    let (generator, length) = (Generator::with_index(served, index, options)?, args.length as usize);
    let rules = Rules::of(&args.rules, &generator)?;
    // What a method refuses is told before the first list is made.
    let requests: Vec<Vec<Request>> = args
        .method
        .iter()
        .map(|&method| requests(args, method, keep_seen, &rules, asked))
        .collect::<Result<_>>()?;
    for first in requests.iter().filter_map(|requests| requests.first()) {
        match generator.generate(std::slice::from_ref(first)).remove(0) {
            Err(error) if error.is_of_any_history() => return Err(error.into()),
            _ => {}
        }
    }
    if let Some(caveat) = args.method.iter().find_map(|&method| generator.caveat(args.methods.of(method))) {
        say::news(&format!("note: {caveat}"));
    }
    let mut made = Vec::new();
    if !args.no_baselines {
        for baseline in baselines::fit(asked, features, Seen::kept_if(keep_seen), Watched::default())? {
            let started = Instant::now();
            let may = |item| rules.allows(item);
            let lists = top(baseline.scorer.as_ref(), asked, length, keep_seen, may)?;
            let name = baseline.scorer.name().to_owned();
            made.push(Made { name, lists, failed: 0, seconds: started.elapsed().as_secs_f64() });
        }
    }
    for (&method, requests) in args.method.iter().zip(&requests) {
        made.push(answer(method, requests, &generator)?);
    }
    let measure = |made: &Made| ListMetrics::of(made, asked, length, generator.vectors());
    let report = ListReport {
        protocol: asked.split.protocol.to_string(),
        split: asked.part,
        questions: asked.questions().len(),
        items: generator.catalog().len(),
        length,
        keep_seen,
        conditions: conditions(args),
        lists: made.iter().map(measure).collect::<Result<_, _>>()?,
    };
    if args.json {
        say::json(&serde_json::to_value(&report)?)?;
    } else {
        say::result(&report.table())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the lists of all methods are made to obey, as it was typed.
fn conditions(args: &EvaluateArgs) -> Vec<String> {
    let (rules, adjust) = (&args.rules, args.adjust);
    let mut words: Vec<String> =
        rules.only.iter().map(|one| format!("--where {one:?} (baselines, too)")).collect();
    words.extend(rules.pin.iter().map(|(place, key)| format!("--pin {}:{key}", place + 1)));
    words.extend(rules.at_most.iter().map(|(most, column)| format!("--at-most {most}:{column}")));
    words.extend(rules.at_least.iter().map(|(least, one)| format!("--at-least \"{least}:{one}\"")));
    match args.scoring.scoring() {
        Ok(Scoring::Exact) | Err(_) => {}
        Ok(Scoring::Clusters { probes: Some(probes) }) => {
            words.push(format!("--scoring clusters --probes {probes}"));
        }
        Ok(scoring) => words.push(format!("--scoring {scoring}")),
    }
    let numbers = [
        ("--diversify", rules.diversify),
        ("--cold-boost", adjust.cold_boost),
        ("--popularity-penalty", adjust.popularity_penalty),
        ("--explore", args.methods.explore()),
    ];
    words.extend(numbers.iter().filter(|(_, by)| *by != 0.0).map(|(flag, by)| format!("{flag} {by}")));
    words
}

/// One method's requests, one a question.
fn requests(
    args: &EvaluateArgs,
    method: MethodName,
    keep_seen: bool,
    rules: &Rules,
    asked: &Asked<'_>,
) -> Result<Vec<Request>> {
    let request = |question: &upnext_data::Question| {
        let builder = Request::from_items(question.input(asked.histories).items)
            .length(args.length as usize)
            .method(args.methods.of(method))
            .seed_for(args.methods.seed(), asked.histories.user_key(question.user))
            .explore(args.methods.explore())
            .keep_seen(keep_seen)
            .adjust(args.adjust.adjustment());
        rules.add(builder).build()
    };
    Ok(asked.questions().iter().map(request).collect::<Result<_, _>>()?)
}

/// A method's answers. Questions that get none are counted, and told by the first.
fn answer(method: MethodName, requests: &[Request], generator: &Generator) -> Result<Made> {
    let bar = if say::is_watched() { ProgressBar::new(requests.len() as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left")?);
    bar.set_message(method.to_string());
    let (started, mut lists) = (Instant::now(), Vec::with_capacity(requests.len()));
    let (mut failed, mut first) = (0, None);
    for batch in requests.chunks(BATCH) {
        for slate in generator.generate(batch) {
            lists.push(match slate {
                Ok(slate) => slate.items.iter().map(|place| place.item).collect(),
                Err(error) => {
                    failed += 1;
                    first.get_or_insert(error);
                    Vec::new()
                }
            });
        }
        bar.inc(batch.len() as u64);
    }
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    match first {
        Some(error) if failed == requests.len() => Err(error.into()),
        first => {
            if let Some(error) = first {
                say::news(&format!("{method}: {failed} lists are missing; the first: {error}"));
            }
            Ok(Made { name: method.to_string(), lists, failed, seconds })
        }
    }
}
