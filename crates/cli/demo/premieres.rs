//! Titles that premiere after the training: kept out of its log, added by what they are like, and recommended.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use upnext_data::synthetic::World;
use upnext_data::{
    Catalog, Column, FeatureFile, Histories, ItemFeatures, ItemId, Prepared, Protocol, Strings,
};
use upnext_generate::{Generator, Options, Request, Threads};
use upnext_model::folder::{describe, extend};

use crate::say;

/// Millionths of the titles that premiere after the training.
const SHARE: u32 = 10_000;
/// People who must watch a title for its lists to be judged.
const LEAST_VIEWERS: usize = 20;
/// Items of a list.
const LENGTH: usize = 10;

/// Titles of the world that the training must not know.
pub(super) struct Premieres {
    /// Ids of the world, ascending.
    items: Vec<ItemId>,
    catalog: Catalog,
    histories: Histories,
}

impl Premieres {
    /// About one in a hundred of the world's titles.
    pub(super) fn draw(world: &World, seed: u64) -> Result<Self> {
        let (catalog, histories) = (world.catalog()?, world.histories()?);
        let mut viewers = vec![0; catalog.len()];
        histories.items().iter().for_each(|item| viewers[item.index()] += 1);
        let draw = Protocol::Cold { millionths: SHARE, seed };
        let all = (0..catalog.len() as u32).map(ItemId);
        let items =
            all.filter(|&item| draw.is_cold(item) && viewers[item.index()] >= LEAST_VIEWERS).collect();
        Ok(Self { items, catalog, histories })
    }

    fn contains(&self, item: ItemId) -> bool {
        self.items.binary_search(&item).is_ok()
    }

    /// What everybody watched, without them.
    pub(super) fn log(&self) -> Result<Histories> {
        let (mut offsets, mut items, mut times) = (vec![0], Vec::new(), Vec::new());
        for (_, history) in self.histories.iter() {
            for (&item, &time) in history.items.iter().zip(history.times) {
                if !self.contains(item) {
                    items.push(item);
                    times.push(time);
                }
            }
            offsets.push(items.len() as u64);
        }
        Ok(Histories::new(self.histories.user_keys().clone(), offsets, items, times)?)
    }

    /// Where in the world's own history of a user event `at` of the log stands.
    pub(super) fn position(&self, user: upnext_data::UserId, at: usize) -> usize {
        let items = self.histories.of(user).items;
        let mut left = (0..items.len()).filter(|&position| !self.contains(items[position]));
        left.nth(at).unwrap_or(items.len().saturating_sub(1))
    }

    /// All titles of the world but them.
    pub(super) fn released(&self) -> Result<Catalog> {
        self.part(|item| !self.contains(item))
    }

    /// Them alone: the item file of tonight.
    pub(super) fn tonight(&self) -> Result<Catalog> {
        self.part(|item| self.contains(item))
    }

    fn part(&self, wanted: impl Fn(ItemId) -> bool) -> Result<Catalog> {
        let items: Vec<ItemId> =
            (0..self.catalog.len() as u32).map(ItemId).filter(|&item| wanted(item)).collect();
        let of = |texts: &Strings| items.iter().map(|item| texts.get(item.index())).collect::<Strings>();
        let column = |column: &Column| Column { name: column.name.clone(), values: of(&column.values) };
        let columns = self.catalog.columns().iter().map(column).collect();
        Ok(Catalog::new(of(self.catalog.keys()), columns)?)
    }

    /// Adds them to a model, writes lists for everybody with the new model, and compares with who watches them.
    pub(super) fn arrive(&self, model: &Path, data: &Prepared, out: &Path) -> Result<Reception> {
        let tonight = self.tonight()?;
        let mut files: Vec<FeatureFile> = Vec::new();
        for description in describe(model)?.manifest.encoders.values() {
            files.push(upnext_encode::again(description, &tonight, None, None, &mut |_| {
                ControlFlow::Continue(())
            })?);
        }
        extend(model, &tonight, &ItemFeatures::of(&tonight, &files)?.0, out, true)?;
        let threads = Threads::Pool(rayon::current_num_threads());
        let generator = Generator::open(out, Options { threads, ..Options::default() })?;
        let map = generator.item_map(&data.catalog);
        let requests: Vec<Request> = data
            .histories
            .iter()
            .map(|(_, history)| map.request(history.items).length(LENGTH).build())
            .collect::<Result<_, _>>()?;
        // Of each title: whose list it is in, and how many of them watch it.
        let mut placed: BTreeMap<ItemId, (usize, usize)> = BTreeMap::new();
        for ((user, _), answer) in data.histories.iter().zip(generator.generate(&requests)) {
            let key = data.histories.user_key(user);
            let viewer = self
                .histories
                .find_user(key)
                .context("the prepared folder has users that the world lacks")?;
            let watched = self.histories.of(viewer).items;
            for place in answer?.items {
                if let Some(item) = self.catalog.find(&place.key).filter(|&item| self.contains(item)) {
                    let (lists, right) = placed.entry(item).or_default();
                    *lists += 1;
                    *right += usize::from(watched.contains(&item));
                }
            }
        }
        let titles =
            self.items.iter().map(|&item| self.title(item, placed.get(&item).copied().unwrap_or_default()));
        let mut titles: Vec<Title> = titles.collect();
        titles.sort_by(|a, b| b.lists.cmp(&a.lists).then(a.title.cmp(&b.title)));
        Ok(Reception { people: data.histories.users(), titles })
    }

    fn title(&self, item: ItemId, (lists, right): (usize, usize)) -> Title {
        let viewers = self.histories.iter().filter(|(_, history)| history.items.contains(&item)).count();
        let genres = self.catalog.column("genres").map(|column| column.values.get(item.index()));
        Title {
            title: self.catalog.title(item).unwrap_or_default().to_owned(),
            genres: genres.unwrap_or_default().to_owned(),
            viewers,
            lists,
            right,
        }
    }
}

/// How a new title was received.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Title {
    title: String,
    genres: String,
    /// People who watch it in the world.
    viewers: usize,
    /// Lists that it is in.
    lists: usize,
    /// Lists of people who watch it.
    right: usize,
}

/// How all of them were received.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reception {
    people: usize,
    titles: Vec<Title>,
}

impl Reception {
    /// Places in lists, how many of them are right, and how many would be if people were drawn by lot.
    fn sums(&self) -> (usize, usize, f64) {
        let places = self.titles.iter().map(|title| title.lists).sum();
        let right = self.titles.iter().map(|title| title.right).sum();
        let by_lot = |title: &Title| title.lists as f64 * title.viewers as f64 / self.people as f64;
        (places, right, self.titles.iter().map(by_lot).sum())
    }

    /// What a person reads of it.
    pub(super) fn text(&self) -> String {
        let (places, right, by_lot) = self.sums();
        let mut text = format!(
            "\nreleased after training: {} titles, added from their title, genres and franchise alone\n",
            self.titles.len()
        );
        let percent = |part: f64, whole: usize| 100.0 * part / whole.max(1) as f64;
        for title in self.titles.iter().take(3).filter(|title| title.lists > 0) {
            text.push_str(&format!(
                "  {:?} ({}) is in {} of {} lists; {:.0} % of these people watch it, of everybody {:.0} %\n",
                title.title,
                title.genres.replace('|', ", "),
                say::count(title.lists),
                say::count(self.people),
                percent(title.right as f64, title.lists),
                percent(title.viewers as f64, self.people),
            ));
        }
        if places == 0 {
            text.push_str("  none of them is in anybody's list\n");
            return text;
        }
        text.push_str(&format!(
            "  of all their {} places in lists {:.0} % are right; people drawn by lot would be right in {:.0} %\n",
            say::count(places),
            percent(right as f64, places),
            percent(by_lot, places),
        ));
        text
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Result<serde_json::Value> {
        let (places, right, by_lot) = self.sums();
        let mut object = serde_json::to_value(self)?;
        object["places"] = places.into();
        object["right"] = right.into();
        object["right_by_lot"] = by_lot.into();
        Ok(object)
    }
}
