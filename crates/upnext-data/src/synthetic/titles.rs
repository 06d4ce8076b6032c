//! Readable titles: the nouns hint at the genre.

use std::collections::BTreeSet;

use rand_chacha::rand_core::RngCore;

use crate::chance;

/// Genres and the nouns of their titles.
pub(super) const GENRES: [(&str, [&str; 12]); 12] = [
    (
        "Drama",
        words("Harbour,House,Garden,Winter,Letter,Daughter,Orchard,River,Window,Inheritance,Summer,Road"),
    ),
    (
        "Comedy",
        words("Wedding,Neighbour,Holiday,Landlord,Reunion,Cousin,Honeymoon,Diet,Choir,Roommate,Uncle,Parrot"),
    ),
    (
        "Thriller",
        words("Witness,Cipher,Hostage,Alibi,Shadow,Informant,Deadline,Exit,Stranger,Signal,Tunnel,Verdict"),
    ),
    ("Romance", words("Kiss,Promise,Heart,Waltz,Lover,Rose,Bride,Affair,Serenade,Embrace,Vow,Moonlight")),
    (
        "Horror",
        words("Crypt,Scream,Haunting,Cellar,Curse,Scarecrow,Asylum,Coven,Nightmare,Grave,Séance,Doll"),
    ),
    (
        "Science Fiction",
        words("Orbit,Colony,Android,Nebula,Paradox,Starship,Clone,Horizon,Reactor,Comet,Outpost,Machine"),
    ),
    ("Fantasy", words("Dragon,Crown,Sorcerer,Realm,Sword,Oracle,Griffin,Throne,Rune,Kingdom,Elf,Spell")),
    (
        "Documentary",
        words(
            "Ocean,Glacier,Empire,Volcano,Archive,Savannah,Cathedral,Orchestra,Pyramid,Reef,Market,Railway",
        ),
    ),
    (
        "Crime",
        words(
            "Detective,Heist,Alley,Syndicate,Precinct,Ledger,Burglar,Getaway,Informer,Casino,Forger,Warden",
        ),
    ),
    (
        "Adventure",
        words("Expedition,Treasure,Jungle,Compass,Voyage,Island,Summit,Caravan,Lagoon,Canyon,Lighthouse,Map"),
    ),
    (
        "Animation",
        words("Penguin,Teapot,Balloon,Robot,Hedgehog,Snowman,Acorn,Kitten,Lantern,Puppet,Cloud,Toyshop"),
    ),
    (
        "War",
        words("Bunker,Squadron,Front,Convoy,Trench,Armistice,Bridge,Patrol,Siege,Battalion,Medic,Regiment"),
    ),
];

const ADJECTIVES: [&str; 40] = words(
    "Silent,Golden,Broken,Hidden,Crimson,Last,Distant,Frozen,Forgotten,Restless,Burning,Hollow,Secret,Endless,Pale,\
     Wild,Scarlet,Lonely,Bitter,Gentle,Stolen,Electric,Quiet,Savage,Velvet,Northern,Paper,Iron,Emerald,Wandering,\
     Midnight,Borrowed,Painted,Sleeping,Crooked,Seventh,Invisible,Unlikely,Ordinary,Faithful",
);

const PLACES: [&str; 16] = words(
    "Lisbon,Marrakesh,Trieste,Galway,Kyoto,Valparaíso,Odessa,Bergen,Samarkand,Palermo,Tallinn,Havana,Cádiz,Bruges,\
     Tbilisi,Zanzibar",
);

/// Splits text at its commas when the program is compiled.
const fn words<const N: usize>(text: &'static str) -> [&'static str; N] {
    let mut words = [""; N];
    let (mut rest, mut count) = (text, 0);
    while count < N {
        let bytes = rest.as_bytes();
        let mut end = 0;
        while end < bytes.len() && bytes[end] != b',' {
            end += 1;
        }
        let (word, tail) = rest.split_at(end);
        words[count] = word;
        count += 1;
        rest = if tail.is_empty() { tail } else { tail.split_at(1).1 };
    }
    assert!(rest.is_empty(), "more words than places");
    words
}

/// Draws titles, each once.
#[derive(Default)]
pub(super) struct Titles {
    used: BTreeSet<String>,
}

impl Titles {
    /// A title of the genre that was not drawn before; a number tells it apart where words run out.
    pub(super) fn draw(&mut self, genre: usize, rng: &mut impl RngCore) -> String {
        let mut title = Self::any(genre, rng);
        for _ in 0..30 {
            if !self.used.contains(&title) {
                break;
            }
            title = Self::any(genre, rng);
        }
        if self.used.contains(&title) {
            title = format!("{title} (no. {})", self.used.len());
        }
        self.used.insert(title.clone());
        title
    }

    fn any(genre: usize, rng: &mut impl RngCore) -> String {
        let mut pick =
            |words: &'static [&'static str]| words[chance::below(rng, words.len() as u64) as usize];
        let (noun, adjective, place) = (pick(&GENRES[genre].1), pick(&ADJECTIVES), pick(&PLACES));
        match chance::below(rng, 4) {
            0 => format!("{adjective} {noun}"),
            1 => format!("The {noun} of {place}"),
            _ => format!("The {adjective} {noun}"),
        }
    }
}
