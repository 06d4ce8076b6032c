//! Dense numbers for items and users.
//!
//! A key is what the shop calls a thing; an id is its place in the [`Catalog`](crate::Catalog) or in the
//! [`Histories`](crate::Histories). Ids stay `u32` everywhere: as `f32` they blur above 16,777,216.

use serde::{Deserialize, Serialize};

/// Place of an item in its catalogue, from 0.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(transparent)]
#[serde(transparent)]
pub struct ItemId(pub u32);

impl ItemId {
    /// The id as an index into a slice over the catalogue.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Place of a user in the histories, from 0.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(transparent)]
#[serde(transparent)]
pub struct UserId(pub u32);

impl UserId {
    /// The id as an index into a slice over the users.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
