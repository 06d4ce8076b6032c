//! `upnext index`: clusters of a model's items, and what looking into few of them is worth.

use std::process::ExitCode;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_data::{Prepared, UserId};
use upnext_eval::scoring::{make, measure, table};
use upnext_generate::{Generator, Options, Request, RequestError, Scoring};
use upnext_kernels::score::{Homes, Plan};
use upnext_model::folder::{Index, save_index};

use crate::args::IndexArgs;
use crate::failure::BadInput;
use crate::{interrupt, open, say};

pub(crate) fn run(args: &IndexArgs) -> Result<ExitCode> {
    open::check_model(&args.model)?;
    let data = open::prepared(&args.data)?;
    // One thread, as a server's callers have.
    let generator = Generator::open(&args.model, Options::default())?;
    let requests = requests(args, &generator, &data)?;
    interrupt::catch("stopping; no index will be written")?;
    let homes = find(args, &generator)?;
    let (index, generator) = try_out(args, homes, generator, &requests)?;
    let folder = save_index(&args.model, generator.manifest(), &index)?;
    let homes = &index.homes;
    if args.json {
        say::json(&json!({
            "clusters": homes.clusters(),
            "homes": homes.each(),
            "probes": index.probes,
            "measured": index.measured,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    say::result(&table(&index.measured))?;
    say::news(&format!(
        "{}: {} items in {} clusters, each in {}; by {} probes where nothing else is said",
        folder.display(),
        say::count(homes.items()),
        say::count(homes.clusters()),
        homes.each(),
        index.probes
    ));
    Ok(ExitCode::SUCCESS)
}

/// Lists for users that are spread evenly over the data.
fn requests(args: &IndexArgs, generator: &Generator, data: &Prepared) -> Result<Vec<Request>> {
    let map = generator.item_map(&data.catalog);
    let users: Vec<UserId> = data.histories.iter().map(|(user, _)| user).collect();
    let wanted = (args.users as usize).min(users.len());
    let spread = (0..wanted).map(|at| users[at * users.len() / wanted.max(1)]);
    let request = |user| map.request(data.histories.of(user).items).length(args.length as usize).build();
    let requests: Vec<Request> = spread.map(request).collect::<Result<_, _>>()?;
    // A list by popularity says nothing of scoring.
    let states = generator.states(&requests);
    let known = requests
        .into_iter()
        .zip(states)
        .filter(|(_, state)| !matches!(state, Err(RequestError::NothingKnown)));
    let known: Vec<Request> = known.map(|(request, _)| request).collect();
    match known.is_empty() {
        false => Ok(known),
        true => Err(BadInput("--data: no user has watched an item of the model".to_owned()).into()),
    }
}

fn find(args: &IndexArgs, generator: &Generator) -> Result<Homes> {
    let vectors = generator.vectors();
    let usual = Plan::usual(vectors.items());
    let clusters = args.clusters.map_or(usual.clusters, |clusters| clusters as usize);
    let plan = Plan { clusters, homes: (args.homes as usize).min(clusters), ..usual };
    if clusters > vectors.items() {
        let what = format!("--clusters {clusters}: the model has {} items", vectors.items());
        return Err(BadInput(what).into());
    }
    let bar = if say::is_watched() { ProgressBar::new(plan.rounds as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("k-means {wide_bar} {pos}/{len} {eta} left")?);
    let homes = Homes::find(&vectors.table(), plan, |round| bar.set_position(round as u64));
    bar.finish_and_clear();
    stop_if_asked(args)?;
    Ok(homes)
}

fn stop_if_asked(args: &IndexArgs) -> Result<()> {
    if interrupt::asked() {
        bail!("interrupted; {} has the index that it had", args.model.display());
    }
    Ok(())
}

/// Measures every way to score, looking into twice as many clusters each time until enough is found.
fn try_out(
    args: &IndexArgs,
    homes: Homes,
    generator: Generator,
    requests: &[Request],
) -> Result<(Index, Generator)> {
    let exact = make(&generator, requests)?;
    let truth = exact.0.clone();
    let mut measured = vec![measure("exact", None, exact, &truth)];
    let mut index = Index { homes, probes: 1, measured: Vec::new() };
    let mut generator = generator;
    for scoring in [Scoring::Bf16, Scoring::Int8, Scoring::BoundedClusters] {
        stop_if_asked(args)?;
        generator = generator.scored_by(scoring, Some(index.clone()))?;
        measured.push(measure(&scoring.to_string(), None, make(&generator, requests)?, &truth));
    }
    loop {
        stop_if_asked(args)?;
        let (probes, most) = (index.probes, index.homes.clusters());
        generator = generator.scored_by(Scoring::Clusters { probes: Some(probes) }, Some(index.clone()))?;
        let one = measure("clusters", Some(probes), make(&generator, requests)?, &truth);
        let is_enough = one.recall >= args.recall || probes == most;
        measured.push(one);
        if is_enough {
            break;
        }
        index.probes = (2 * probes).min(most);
    }
    index.measured = measured;
    Ok((index, generator))
}
