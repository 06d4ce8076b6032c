//! A server that answers by HTTP, a batch a call, and takes up a new model while it runs.
//!
//!     cargo run --release --example server -- MODEL [ADDRESS]        (127.0.0.1:8080 unless told)
//!     curl 127.0.0.1:8080/lists --json '[{"history": [["item-17", 1700000000]], "length": 5, "deadline_ms": 50}]'
//!     curl 127.0.0.1:8080/model
//!
//! Each request of a call is answered by a list or by an error of its own. The model folder is looked at every second:
//! once another model stands there, as after `upnext train --overwrite`, it is opened beside the old one and takes over
//! between two calls; a folder that cannot be opened changes nothing.
#![expect(clippy::print_stderr, reason = "an example says what it does")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use upnext_generate::{Event, Generator, Method, Options, Request, RequestError};

/// How often the model folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Most bytes of a call.
const BODY: usize = 4 << 20;
/// Most items of a list: what a caller may ask for is the server's to bound.
const LENGTH: usize = 100;
/// Most requests of a call.
const ASKS: usize = 1_000;

/// One request of a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// Keys and Unix seconds, in any order.
    history: Vec<(String, i64)>,
    #[serde(default = "ten")]
    length: usize,
    /// Beams; one pass without.
    width: Option<usize>,
    #[serde(default)]
    deny: Vec<String>,
    /// Milliseconds from now after which the list is of no use.
    deadline_ms: Option<u64>,
}

fn ten() -> usize {
    10
}

/// The model in use. A call keeps the one that it began with.
type Shared = Arc<ArcSwap<Generator>>;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, address) = match &arguments[..] {
        [folder] => (folder, "127.0.0.1:8080"),
        [folder, address] => (folder, address.as_str()),
        _ => anyhow::bail!("usage: server MODEL [ADDRESS]"),
    };
    let cores = thread::available_parallelism()?.get();
    // Calls are computed on as many threads as there are cores; what comes beyond waits its turn.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(cores)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        serve(listener, PathBuf::from(folder)).await
    })
}

async fn serve(listener: TcpListener, folder: PathBuf) -> anyhow::Result<()> {
    // Read before the model is: what replaces it in between is taken up a moment later.
    let seen = manifest(&folder);
    let shared: Shared = Arc::new(ArcSwap::from_pointee(Generator::open(&folder, Options::default())?));
    eprintln!("http://{} serves {}", listener.local_addr()?, folder.display());
    let watched = Arc::clone(&shared);
    thread::spawn(move || watch(&folder, seen, &watched));
    let app = Router::new()
        .route("/lists", post(lists))
        .route("/model", get(model))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared);
    Ok(axum::serve(listener, app).await?)
}

/// Takes up what stands in the folder once it is another model. The manifest is the last word on that: folders are
/// replaced whole.
fn watch(folder: &Path, mut seen: Vec<u8>, shared: &Shared) {
    loop {
        thread::sleep(LOOK);
        let now = manifest(folder);
        if now == seen {
            continue;
        }
        match Generator::open(folder, Options::default()) {
            Ok(generator) => {
                eprintln!("now serving model {}", generator.manifest().seal);
                shared.store(Arc::new(generator));
                seen = now;
            }
            // It may be half replaced: the old model serves on, and the folder is looked at again.
            Err(error) => eprintln!("kept the old model: {error}"),
        }
    }
}

/// The bytes that change with the model; none while the folder is being replaced.
fn manifest(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("manifest.json")).unwrap_or_default()
}

async fn model(State(shared): State<Shared>) -> Json<Value> {
    let generator = shared.load();
    let manifest = generator.manifest();
    Json(json!({ "seal": manifest.seal, "items": manifest.items, "metrics": manifest.metrics }))
}

async fn lists(
    State(shared): State<Shared>,
    Json(asks): Json<Vec<Ask>>,
) -> Result<Json<Value>, (StatusCode, String)> {
    // Deadlines count from here, waiting for a thread included.
    let arrived = Instant::now();
    if asks.len() > ASKS {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {ASKS} requests a call")));
    }
    let generator = shared.load_full();
    let answers = spawn_blocking(move || answer(&generator, &asks, arrived)).await;
    answers.map(Json).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn answer(generator: &Generator, asks: &[Ask], arrived: Instant) -> Value {
    let built: Vec<Result<Request, RequestError>> = asks.iter().map(|ask| request(ask, arrived)).collect();
    let good: Vec<Request> = built.iter().flatten().cloned().collect();
    let mut slates = generator.generate(&good).into_iter();
    let one = |built: Result<Request, RequestError>| match built
        .and_then(|_| slates.next().unwrap_or(Err(RequestError::Late)))
    {
        Ok(slate) => {
            json!({ "items": slate.items, "score": slate.score, "fallback": slate.fallback, "skipped": slate.skipped })
        }
        Err(error) => json!({ "error": error.to_string() }),
    };
    built.into_iter().map(one).collect()
}

fn request(ask: &Ask, arrived: Instant) -> Result<Request, RequestError> {
    let history: Vec<Event<'_>> = ask.history.iter().map(|(key, at)| Event { key, at: *at }).collect();
    let deny: Vec<&str> = ask.deny.iter().map(String::as_str).collect();
    let method = ask.width.map_or(Method::TopK, |width| Method::Beam { width: width.min(64) });
    let mut builder = Request::builder(&history).length(ask.length.min(LENGTH)).method(method).deny(&deny);
    if let Some(milliseconds) = ask.deadline_ms {
        builder = builder.deadline(arrived + Duration::from_millis(milliseconds.min(60_000)));
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use upnext_data::Catalog;
    use upnext_model::folder::save;
    use upnext_model::{Card, Model, ModelConfig};

    fn write_model(folder: &Path, seed: u64) {
        let (layers, width, heads, hidden, rank) = (1, 16, 2, 24, 8);
        let config = ModelConfig { layers, width, heads, hidden, rank, window: 16, ..ModelConfig::default() };
        let catalog = Catalog::new((0..30).map(|item| format!("item-{item}")).collect(), Vec::new()).unwrap();
        let card = Card { protocol: "loo".to_owned(), ..Card::default() };
        save(folder, &Model::new(config, 30, seed).unwrap(), &catalog, &[1; 30], None, &card, true).unwrap();
    }

    /// The JSON of an answer.
    fn call(address: SocketAddr, request: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(address).unwrap();
        let (length, kind) = (body.len(), "application/json");
        let head =
            format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}");
        write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    #[test]
    fn calls_are_answered_while_the_model_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("model");
        write_model(&folder, 1);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = folder.clone();
        thread::spawn(move || {
            listener.set_nonblocking(true).unwrap();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime
                .block_on(async { serve(TcpListener::from_std(listener).unwrap(), served).await.unwrap() });
        });
        let body = json!([
            { "history": [["item-3", 5], ["item-4", 6]], "length": 4, "deny": ["item-9"] },
            { "history": [["item-3", 5]], "length": 0 },
            { "history": [["item-3", 5]], "deadline_ms": 0 },
            { "history": [], "length": 2, "width": 3 },
        ])
        .to_string();
        let before = call(address, "POST /lists", &body);
        assert_eq!(before[0]["items"].as_array().unwrap().len(), 4);
        assert!(before[1]["error"].as_str().unwrap().contains("at least one item"), "{before}");
        assert!(before[2]["error"].as_str().unwrap().contains("deadline"), "{before}");
        assert_eq!((&before[3]["fallback"], before[3]["items"].as_array().unwrap().len()), (&true.into(), 2));
        let seal = call(address, "GET /model", "")["seal"].clone();
        write_model(&folder, 2);
        let patience = Instant::now() + Duration::from_secs(30);
        while call(address, "GET /model", "")["seal"] == seal {
            assert!(Instant::now() < patience, "the new model was never taken up");
            assert!(call(address, "POST /lists", &body)[0]["items"].is_array());
            thread::sleep(Duration::from_millis(50));
        }
        assert_ne!(call(address, "POST /lists", &body)[0], before[0]);
    }
}
