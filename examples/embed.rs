//! What a server needs: `cargo run --release --example embed -- MODEL [KEY]…` prints what comes after the keys.
#![expect(clippy::print_stdout, reason = "an example shows what it made")]

use upnext_generate::{Event, Generator, Method, Options, Request};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((model, keys)) = arguments.split_first() else { anyhow::bail!("usage: embed MODEL [KEY]…") };
    let generator = Generator::open(model, Options::default())?;
    let history: Vec<Event<'_>> = keys.iter().zip(0..).map(|(key, at)| Event { key, at }).collect();
    let request = Request::builder(&history).length(10).method(Method::Beam { width: 8 }).build()?;
    for slate in generator.generate(&[request]) {
        for place in slate?.items {
            println!("{:8.3}  {}", place.score, generator.catalog().title(place.item).unwrap_or(&place.key));
        }
    }
    Ok(())
}
