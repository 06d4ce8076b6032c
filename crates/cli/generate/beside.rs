//! What is written of an item beside its score: columns of the catalogue, and what speaks for it.

use std::collections::BTreeSet;

use anyhow::Result;
use upnext_data::Column;
use upnext_generate::{Generator, Request, RequestError, Slate};
use upnext_tables::{Form, RowSink};
use upnext_train::config::nearest;

use crate::args::{GenerateArgs, PartFormat};
use crate::failure::BadInput;

/// For each item of a list the items of the history that speak for it.
pub(super) type Reasons = Vec<Vec<String>>;

/// `--with` and `--explain`.
pub(super) struct Beside<'g> {
    columns: Vec<&'g Column>,
    /// Reasons of an item; none are looked for where it is 0.
    pub(super) most: usize,
}

impl<'g> Beside<'g> {
    /// Looks the columns up.
    ///
    /// # Errors
    /// When the model's items have no such column, or columns, or ids where CSV joins them, cannot be told apart.
    pub(super) fn of(args: &GenerateArgs, generator: &'g Generator) -> Result<Self> {
        let catalog = generator.catalog();
        let find = |name: &String| catalog.column(name).ok_or_else(|| refuse(name, catalog.columns()));
        let columns = args.with.iter().map(find).collect::<Result<_, _>>()?;
        let most = args.explain.unwrap_or(0) as usize;
        let joins = match args.part_format {
            Some(format) => format == PartFormat::Csv,
            None => args.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")),
        };
        if let Some(key) = catalog.keys().iter().find(|key| most > 0 && joins && key.contains('|')) {
            return Err(BadInput(format!(
                "--explain: CSV joins ids by |, and the model's item {key:?} holds one; write .jsonl or .parquet"
            ))
            .into());
        }
        let beside = Self { columns, most };
        beside.form(args).check(&args.out)?;
        Ok(beside)
    }

    /// What a file of these lists holds.
    pub(super) fn form(&self, args: &GenerateArgs) -> Form {
        let columns = self.columns.iter().map(|column| column.name.clone()).collect();
        Form { layout: super::layout(args), columns, because: self.most > 0 }
    }

    /// What speaks for each item of an answer. Nothing does for items that the request has pinned, nor where nothing of
    /// the history is known.
    pub(super) fn reasons(
        &self,
        generator: &Generator,
        request: &Request,
        slate: &Slate,
    ) -> Result<Reasons, RequestError> {
        let asked = |pinned: bool| self.most > 0 && !slate.fallback && !pinned;
        let keys: Vec<&str> =
            slate.items.iter().filter(|place| asked(place.pinned)).map(|place| place.key.as_str()).collect();
        if keys.is_empty() {
            return Ok(vec![Vec::new(); slate.items.len()]);
        }
        // Every event has a weight of its own, and an item may have several: the heaviest speaks for it.
        let mut explained = generator.explain(request, &keys, usize::MAX)?.into_iter();
        let reasons = slate.items.iter().map(|place| {
            let found = if asked(place.pinned) { explained.next() } else { None };
            let because = found.map(|explanation| explanation.because).unwrap_or_default();
            let mut named = BTreeSet::new();
            let reasons = because.into_iter().map(|reason| reason.key);
            reasons.filter(|key| named.insert(key.clone())).take(self.most).collect()
        });
        Ok(reasons.collect())
    }

    /// Writes a list with all of it.
    pub(super) fn write(
        &self,
        sink: &mut RowSink,
        user: &str,
        slate: &Slate,
        reasons: &Reasons,
    ) -> Result<()> {
        sink.begin(user)?;
        for ((rank, place), because) in (1..).zip(&slate.items).zip(reasons) {
            let texts: Vec<&str> =
                self.columns.iter().map(|column| column.values.get(place.item.index())).collect();
            let because: Vec<&str> = because.iter().map(String::as_str).collect();
            let beside = upnext_tables::Beside { texts: &texts, because: &because };
            sink.place(user, rank, &place.key, place.score.into(), beside)?;
        }
        Ok(())
    }
}

/// No such column, and which one may have been meant.
fn refuse(name: &str, columns: &[Column]) -> BadInput {
    let names = || columns.iter().map(|column| column.name.as_str());
    let known = match nearest(name, names()) {
        Some(near) => format!("; {near:?} is near"),
        None if columns.is_empty() => "; they have none".to_owned(),
        None => format!("; they have {}", names().collect::<Vec<_>>().join(", ")),
    };
    BadInput(format!("--with {name}: the model's items have no such column{known}"))
}
