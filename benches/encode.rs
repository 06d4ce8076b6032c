//! How fast are texts encoded beside PyTorch's sentence-transformers?
//!
//! The same encoder folder and the same texts, 300 of them: titles with genres as a catalogue has them (about ten
//! tokens), then descriptions of one to three sentences. The reference runs at its default batch of 32 and at 128; each
//! worker in a process of its own, interleaved, on all threads.
//!
//!     pip install -r benches/peers/requirements.txt
//!     cargo bench --bench encode -- ENCODER [titles|descriptions]

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod interleave;
mod peers;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use upnext_encode::Encoder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TEXTS: usize = 300;
const TURNS: usize = 5;
/// Adjectives, nouns and genres of the texts.
const WORDS: [[&str; 8]; 3] = [
    ["Silent", "Golden", "Broken", "Hidden", "Crimson", "Last", "Distant", "Frozen"],
    ["Harbour", "Garden", "Witness", "Promise", "Orchard", "Voyage", "Kingdom", "Lighthouse"],
    ["Drama", "Comedy, Family", "Thriller", "Romance", "Horror", "Documentary", "Crime, Mystery", "War"],
];

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(arguments) = interleave::worker() {
        return serve(Path::new(&arguments[0]), Path::new(&arguments[1]));
    }
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let Some((encoder, wanted)) = asked.split_first() else {
        println!(
            "name the folder of an encoder: cargo bench --bench encode -- ENCODER [titles|descriptions]"
        );
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for (name, sentences) in [("titles", 0), ("descriptions", 3)] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let path = folder.path().join(name);
        std::fs::write(&path, (0..TEXTS).map(|n| text(n, sentences)).collect::<String>())?;
        let texts = path.to_str().ok_or("the path of a temporary folder is no text")?;
        let mut workers = vec![("upnext".to_owned(), interleave::ourselves(&[encoder, texts])?)];
        for batch in [32, 128] {
            let arguments = format!("--encoder {encoder} --texts {texts} --batch {batch}");
            workers.push((format!("PyTorch, batches of {batch}"), peers::python("encode.py", &arguments)));
        }
        interleave::print(&format!("{TEXTS} {name}"), "texts", &interleave::interleave(workers, TURNS)?);
    }
    Ok(())
}

/// A line: a title with genres, and up to so many sentences.
fn text(n: usize, sentences: usize) -> String {
    let word = |list: usize, n: usize| WORDS[list][n % 8];
    let mut text = format!("The {} {} {n}. {}.", word(0, n), word(1, n / 8), word(2, n / 64));
    for sentence in 0..if sentences == 0 { 0 } else { 1 + n % sentences } {
        let (one, two) = (word(1, n + sentence), word(0, n / 3 + sentence));
        let line = format!(
            " Somebody leaves a {one} behind and finds that the {two} road does not end where it did."
        );
        text.push_str(&line.to_lowercase());
    }
    text.push('\n');
    text
}

/// A turn encodes all texts of a file.
fn serve(encoder: &Path, texts: &Path) -> Result<(), Box<dyn Error>> {
    let encoder = Encoder::open(encoder)?;
    let text = std::fs::read_to_string(texts)?;
    let texts: Vec<&str> = text.lines().collect();
    interleave::serve(|| {
        let started = Instant::now();
        let vectors = encoder.encode(&texts)?;
        assert_eq!(vectors.len(), texts.len() * encoder.width(), "a vector is missing");
        Ok((started.elapsed().as_secs_f64(), texts.len(), f64::NAN))
    })
}
