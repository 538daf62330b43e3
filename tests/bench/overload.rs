//! Load generator for a sidecar below, at and above its capacity. It prints one table row per load.
//! `tests/bench/overload` starts it.
//!
//! usage: overload LABEL ADDRESS USERS SECONDS

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A benchmark may panic.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use e2e::load::{CheckFn, Load, Outcome, Request, RequestFn};
use serde_json::json;

/// Number of recommended items per request.
const ITEMS: u32 = 10;
/// Number of closed-loop clients that measure the capacity: enough to keep all server threads busy.
const CLIENTS: u64 = 4;
/// Maximum number of requests per second that the generator sends on one CPU without being the
/// bottleneck.
const GENERATED_PER_SECOND_MAX: f64 = 2000.0;

fn body(number: u64, users: u64) -> serde_json::Value {
    // The stride is coprime to the number of users, so it visits all of them.
    json!({"user": (number.wrapping_mul(7919) % users).to_string(), "n": ITEMS})
}

/// Returns the sorted latencies, in seconds, of the successful requests of one closed-loop client.
fn closed_loop(address: &str, users: u64, client: u64, time: Duration) -> Vec<f64> {
    let mut writer = TcpStream::connect(address).unwrap();
    writer.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(writer.try_clone().unwrap());
    let begin = Instant::now();
    let mut seconds = Vec::new();
    let mut number = client;
    while begin.elapsed() < time {
        let body = body(number, users).to_string();
        let sent_at = Instant::now();
        let head = "POST /recommend HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n";
        write!(writer, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let (mut succeeded, mut length) = (false, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            succeeded |= line.starts_with("HTTP/1.1 200");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        if succeeded {
            seconds.push(sent_at.elapsed().as_secs_f64());
        }
        number += CLIENTS;
    }
    seconds.sort_by(f64::total_cmp);
    seconds
}

fn milliseconds(seconds: Option<Duration>) -> String {
    seconds.map_or("–".to_owned(), |time| format!("{:.2}", time.as_secs_f64() * 1000.0))
}

fn row(label: &str, load: &str, per_second: f64, outcome: &Outcome) {
    let seconds = outcome.duration.as_secs_f64();
    let shed_percent = 100.0 * outcome.shed as f64 / outcome.scheduled.max(1) as f64;
    println!(
        "| {label} | {load} | {per_second:.0} | {:.0} | {} | {} | {shed_percent:.1} % | {} | {} |",
        outcome.succeeded as f64 / seconds,
        milliseconds(outcome.success_quantile(0.5)),
        milliseconds(outcome.success_quantile(0.99)),
        milliseconds(outcome.shed_quantile(0.99)),
        outcome.failed,
    );
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [label, address, users, seconds] = arguments.as_slice() else {
        anyhow::bail!("usage: overload LABEL ADDRESS USERS SECONDS");
    };
    let (users, time) = (users.parse::<u64>()?, Duration::from_secs(seconds.parse()?));
    let alone = closed_loop(address, users, 0, time / 2);
    let median = alone.get(alone.len() / 2).copied().context("no request succeeded")?;
    let high = alone[alone.len() * 99 / 100];
    let closed_row = |clients: u64, succeeded: usize, time: Duration, median: f64, high: f64| {
        let per_second = succeeded as f64 / time.as_secs_f64();
        let (median, high) = (median * 1000.0, high * 1000.0);
        println!(
            "| {label} | closed loop, clients: {clients} | – | {per_second:.0} | {median:.2} | {high:.2} | – | – | – |"
        );
    };
    closed_row(1, alone.len(), time / 2, median, high);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let address = address.clone();
            std::thread::spawn(move || closed_loop(&address, users, client, time))
        })
        .collect();
    let mut together: Vec<f64> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    together.sort_by(f64::total_cmp);
    let capacity = together.len() as f64 / time.as_secs_f64();
    closed_row(CLIENTS, together.len(), time, together[together.len() / 2], together[together.len() * 99 / 100]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let url = format!("http://{address}/recommend");
    let request: RequestFn = Arc::new(move |number| Request::post(url.clone(), body(number, users)));
    let check: CheckFn = Arc::new(|body| {
        let complete = body["items"].as_array().is_some_and(|items| items.len() == ITEMS as usize);
        anyhow::ensure!(complete, "expected {ITEMS} items");
        Ok(())
    });
    for factor in [0.5, 1.0, 2.0, 3.0, 5.0] {
        let per_second = capacity * factor;
        if per_second > GENERATED_PER_SECOND_MAX {
            break;
        }
        let outcome = Load::run(&http, per_second, time, Arc::clone(&request), Arc::clone(&check)).await?;
        row(label, &format!("{factor}×"), per_second, &outcome);
    }
    if capacity / 2.0 > GENERATED_PER_SECOND_MAX {
        let outcome = Load::run(&http, GENERATED_PER_SECOND_MAX / 2.0, time, request, check).await?;
        row(label, "fixed", GENERATED_PER_SECOND_MAX / 2.0, &outcome);
    }
    Ok(())
}
