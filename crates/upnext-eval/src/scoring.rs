//! Ways to score a catalogue, beside exact scores: what their lists lack, by how much their scores err, how long they take.

use std::time::Instant;

use upnext_generate::{Exactness, Generator, Request, Slate};
use upnext_model::folder::MeasuredScoring;

use crate::Result;

/// The lists of requests, each made alone, and the milliseconds of each. A first one that is not counted finds the caches
/// cold.
///
/// # Errors
/// When a request is refused.
pub fn make(generator: &Generator, requests: &[Request]) -> Result<(Vec<Slate>, Vec<f64>)> {
    if let Some(first) = requests.first() {
        generator.generate(std::slice::from_ref(first));
    }
    let mut made = (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
    for request in requests {
        let started = Instant::now();
        let slate = generator.generate(std::slice::from_ref(request)).into_iter().next();
        made.1.push(started.elapsed().as_secs_f64() * 1e3);
        made.0.extend(slate.transpose()?);
    }
    Ok(made)
}

/// Lists beside the exact ones of the same requests. `scoring` and `probes` are how they were made.
#[must_use]
pub fn measure(
    scoring: &str,
    probes: Option<usize>,
    (slates, mut ms): (Vec<Slate>, Vec<f64>),
    exact: &[Slate],
) -> MeasuredScoring {
    let (mut found, mut all, mut error, mut promised) = (0usize, 0usize, 0f64, Some(0f64));
    for (slate, exact) in slates.iter().zip(exact) {
        let is_in =
            |place: &&upnext_generate::ScoredItem| slate.items.iter().any(|own| own.item == place.item);
        found += exact.items.iter().filter(is_in).count();
        all += exact.items.len();
        // Of the same item: its score is exact, and its normaliser may err.
        if let (Some(own), Some(exact)) = (slate.items.first(), exact.items.first())
            && own.item == exact.item
        {
            error = error.max((own.score - exact.score).abs());
        }
        let by = match slate.exactness {
            Exactness::Exact => Some(0.0),
            Exactness::Bounded { by } => Some(by / slate.items.len().max(1) as f64),
            _ => None,
        };
        promised = promised.zip(by).map(|(most, by)| most.max(by));
    }
    ms.sort_by(f64::total_cmp);
    let at =
        |share: f64| ms.get(((ms.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    MeasuredScoring {
        scoring: scoring.to_owned(),
        probes,
        requests: slates.len(),
        length: exact.iter().map(|slate| slate.requested).max().unwrap_or(0),
        recall: found as f64 / all.max(1) as f64,
        error,
        promised,
        ms: [at(0.5), at(0.99)],
    }
}

/// A table of what was measured.
#[must_use]
pub fn table(measured: &[MeasuredScoring]) -> String {
    let mut rows =
        vec![["scoring", "probes", "recall", "error", "promised", "ms p50", "ms p99"].map(str::to_owned)];
    for one in measured {
        let MeasuredScoring { scoring, probes, recall, error, promised, ms, .. } = one;
        let dash = || "–".to_owned();
        rows.push([
            scoring.clone(),
            probes.map_or_else(dash, |probes| probes.to_string()),
            format!("{recall:.4}"),
            format!("{error:.1e}"),
            promised.map_or_else(dash, |by| format!("{by:.1e}")),
            format!("{:.3}", ms[0]),
            format!("{:.3}", ms[1]),
        ]);
    }
    let mut text = String::new();
    for row in rows {
        let [scoring, numbers @ ..] = row;
        text.push_str(&format!("{scoring:<18}"));
        numbers.iter().for_each(|number| text.push_str(&format!("{number:>10}")));
        text.push('\n');
    }
    text
}
