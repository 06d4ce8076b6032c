//! What every list of a job must be like, looked up once in the model's catalogue.

use anyhow::Result;
use upnext_data::ItemId;
use upnext_generate::{Attribute, Generator, ItemSet, RequestBuilder};

use crate::args::RuleArgs;
use crate::failure::BadInput;

/// The rules of a job.
pub(crate) struct Rules {
    only: Vec<ItemSet>,
    pins: Vec<(usize, String)>,
    caps: Vec<(usize, Attribute)>,
    shares: Vec<(usize, ItemSet)>,
    diversify: f32,
}

impl Rules {
    /// Looks columns and pinned items up and evaluates conditions.
    ///
    /// # Errors
    /// When a condition does not read as one, or a column or a pinned item is unknown.
    pub(crate) fn of(args: &RuleArgs, generator: &Generator) -> Result<Self> {
        let set = |condition: &String| generator.items_where(condition);
        let cap = |(most, column): &(usize, String)| {
            let columns: Vec<&str> =
                generator.catalog().columns().iter().map(|column| column.name.as_str()).collect();
            let what = || {
                let known = if columns.is_empty() { "none".to_owned() } else { columns.join(", ") };
                BadInput(format!(
                    "--at-most {most}:{column}: the model's items have no such column; they have {known}"
                ))
            };
            Ok::<_, BadInput>((*most, generator.attribute(column).ok_or_else(what)?))
        };
        if let Some((_, key)) = args.pin.iter().find(|(_, key)| generator.catalog().find(key).is_none()) {
            return Err(BadInput(format!("--pin: the model knows no item {key:?}")).into());
        }
        Ok(Self {
            only: args.only.iter().map(set).collect::<Result<_, _>>()?,
            pins: args.pin.clone(),
            caps: args.at_most.iter().map(cap).collect::<Result<_, _>>()?,
            shares: args
                .at_least
                .iter()
                .map(|(least, condition)| Ok((*least, set(condition)?)))
                .collect::<Result<_>>()?,
            diversify: args.diversify,
        })
    }

    /// Whether the conditions let an item be shown.
    pub(crate) fn allows(&self, item: ItemId) -> bool {
        self.only.iter().all(|set| set.contains(item))
    }

    pub(crate) fn add(&self, builder: RequestBuilder) -> RequestBuilder {
        let builder = self.only.iter().fold(builder, RequestBuilder::only);
        let builder = self.pins.iter().fold(builder, |builder, (place, key)| builder.pin(*place, key));
        let builder =
            self.caps.iter().fold(builder, |builder, (most, column)| builder.at_most(*most, column));
        let builder = self.shares.iter().fold(builder, |builder, (least, set)| builder.at_least(*least, set));
        builder.diversify(self.diversify)
    }
}
