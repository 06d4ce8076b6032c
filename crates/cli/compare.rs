//! `upnext compare`: reports beside a reference, question by question.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use upnext_eval::{How, On, Record, Seen, Side, compare};

use crate::args::{CompareArgs, OnName, SeenName};
use crate::failure::BadInput;
use crate::say;

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    let named: Vec<Vec<Named>> = args.reports.iter().map(|argument| side(argument)).collect();
    let (reference, others) = named.split_first().ok_or_else(|| BadInput("no report is named".into()))?;
    for other in others {
        refuse_twice(reference, other)?;
    }
    let read = |side: &Vec<Named>| side.iter().map(|named| Record::read(&named.path)).collect();
    let records: Vec<Vec<Record>> = named.iter().map(read).collect::<Result<_, _>>()?;
    let sides: Vec<Vec<Side<'_>>> = named
        .iter()
        .zip(&records)
        .map(|(named, records)| {
            let pairs = records.iter().zip(named);
            pairs.map(|(record, named)| Side::new(record, named.system.as_deref())).collect()
        })
        .collect::<Result<_, _>>()?;
    let how = How {
        metrics: args.metric.clone(),
        on: match args.on {
            OnName::All => On::All,
            OnName::Warm => On::Warm,
            OnName::Cold => On::Cold,
            OnName::AmongCold => On::AmongCold,
        },
        seen: match args.seen {
            SeenName::Dropped => Seen::Dropped,
            SeenName::Kept => Seen::Kept,
        },
        resamples: args.resamples as usize,
        seed: args.seed,
    };
    let comparison = compare(&sides[0], &sides[1..], &how)?;
    if args.json {
        say::json(&serde_json::to_value(&comparison)?)?;
    } else {
        say::result(&comparison.table())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A system of a report: the model where none is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    path: PathBuf,
    system: Option<String>,
}

impl Named {
    /// The same under the one name that its file has, however it was typed.
    fn wherever(&self) -> Self {
        Self { path: self.path.canonicalize().unwrap_or_else(|_| self.path.clone()), ..self.clone() }
    }
}

/// The reports of one side: `FILE[:SYSTEM]`, several joined by commas. A name that a file has is that file, whatever
/// commas and colons are in it.
fn side(argument: &str) -> Vec<Named> {
    let parts: Vec<&str> =
        if Path::new(argument).is_file() { vec![argument] } else { argument.split(',').collect() };
    let named = |part: &str| match part.rsplit_once(':') {
        Some((path, system)) if !Path::new(part).is_file() => {
            Named { path: path.into(), system: Some(system.to_owned()) }
        }
        _ => Named { path: part.into(), system: None },
    };
    parts.into_iter().map(named).collect()
}

/// Refuses a pair of reports that is pooled with itself: its questions would count twice.
fn refuse_twice(reference: &[Named], other: &[Named]) -> Result<()> {
    let mut pairs = BTreeSet::new();
    for (left, right) in reference.iter().zip(other) {
        if !pairs.insert([left, right].map(Named::wherever)) {
            let what = format!(
                "{} and {} are paired twice: their questions would count twice",
                left.path.display(),
                right.path.display()
            );
            return Err(BadInput(what).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_files_with_or_without_a_system() {
        let named =
            |path: &str, system: Option<&str>| Named { path: path.into(), system: system.map(str::to_owned) };
        assert_eq!(side("a.json"), [named("a.json", None)]);
        assert_eq!(
            side("a.json:content-knn,b.json"),
            [named("a.json", Some("content-knn")), named("b.json", None)]
        );
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a,b:c.json").to_str().unwrap().to_owned();
        std::fs::write(&odd, "").unwrap();
        assert_eq!(side(&odd), [named(&odd, None)]);
        let pooled = [named("a", None), named("a", None)];
        assert!(refuse_twice(&pooled, &pooled).is_err());
        assert!(refuse_twice(&pooled, &[named("b", None), named("c", None)]).is_ok());
        std::fs::create_dir(dir.path().join("x")).unwrap();
        let spelt = dir.path().join("x/../a,b:c.json").to_str().unwrap().to_owned();
        let pooled = [named(&odd, None), named(&spelt, None)];
        assert!(refuse_twice(&pooled, &pooled).is_err());
    }
}
