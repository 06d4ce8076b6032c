//! `upnext evaluate --method`: whole lists against all that came next.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use upnext_data::ItemFeatures;
use upnext_eval::evaluate::Options as Watched;
use upnext_eval::lists::top;
use upnext_eval::{Asked, ListMetrics, ListReport, Made, baselines};
use upnext_generate::{Generator, Options, Request, Threads};
use upnext_model::folder::Served;

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
    let options = Options { threads: Threads::Pool(rayon::current_num_threads()), ..Options::default() };
    let (generator, length) = (Generator::from_parts(served, options)?, args.length as usize);
    let mut made = Vec::new();
    if !args.no_baselines {
        for baseline in baselines::fit(asked, features, Watched::default())? {
            let started = Instant::now();
            let lists = top(baseline.scorer.as_ref(), asked, length, args.keep_seen)?;
            let name = baseline.scorer.name().to_owned();
            made.push(Made { name, lists, seconds: started.elapsed().as_secs_f64() });
        }
    }
    for &method in &args.method {
        made.push(lists(args, method, &generator, asked)?);
    }
    let measure = |made: &Made| ListMetrics::of(made, asked, length, generator.vectors());
    let report = ListReport {
        protocol: asked.split.protocol.to_string(),
        split: asked.part,
        questions: asked.questions().len(),
        items: asked.items,
        length,
        keep_seen: args.keep_seen,
        lists: made.iter().map(measure).collect::<Result<_, _>>()?,
    };
    if args.json {
        say::json(&serde_json::to_value(&report)?)?;
    } else {
        say::result(&report.table())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One method's answers to all questions.
fn lists(
    args: &EvaluateArgs,
    method: MethodName,
    generator: &Generator,
    asked: &Asked<'_>,
) -> Result<Made> {
    let questions = asked.questions();
    let bar = if say::is_watched() { ProgressBar::new(questions.len() as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left")?);
    bar.set_message(method.to_string());
    let rules = Rules::of(&args.rules, generator)?;
    let request = |question: &upnext_data::Question| {
        let builder = Request::from_items(question.input(asked.histories).items)
            .length(args.length as usize)
            .method(args.methods.of(method))
            .seed_for(args.methods.seed, asked.histories.user_key(question.user))
            .keep_seen(args.keep_seen)
            .adjust(args.adjust.adjustment());
        rules.add(builder).build()
    };
    let requests: Vec<Request> = questions.iter().map(request).collect::<Result<_, _>>()?;
    let (started, mut lists) = (Instant::now(), Vec::with_capacity(requests.len()));
    for batch in requests.chunks(BATCH) {
        for slate in generator.generate(batch) {
            lists.push(slate?.items.iter().map(|place| place.item).collect());
        }
        bar.inc(batch.len() as u64);
    }
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    Ok(Made { name: method.to_string(), lists, seconds })
}
