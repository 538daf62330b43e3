//! What a sidecar does below, at and above its capacity: one line of a table a load. `tests/bench/overload` starts it.
//!
//! usage: overload LABEL ADDRESS USERS SECONDS

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A benchmark may fail loudly.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use e2e::load::{Ask, Check, Load, Outcome, Request};
use serde_json::json;

/// Items of an answer.
const ITEMS: u32 = 10;
/// Clients that measure the capacity: enough that a thread never waits for one.
const CLIENTS: u64 = 4;
/// Requests a second that the generator sends on one processor without being the bottleneck itself.
const GENERATED_PER_SECOND_MAX: f64 = 2000.0;

fn body(number: u64, users: u64) -> serde_json::Value {
    // A stride that shares no factor with the number of users visits all of them.
    json!({"user": (number.wrapping_mul(7919) % users).to_string(), "n": ITEMS})
}

/// Seconds of each right answer of one client that asks without a pause, sorted.
fn closed_loop(address: &str, users: u64, client: u64, time: Duration) -> Vec<f64> {
    let mut writer = TcpStream::connect(address).unwrap();
    writer.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(writer.try_clone().unwrap());
    let begin = Instant::now();
    let mut seconds = Vec::new();
    let mut number = client;
    while begin.elapsed() < time {
        let body = body(number, users).to_string();
        let asked = Instant::now();
        let head = "POST /recommend HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n";
        write!(writer, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let (mut right, mut length) = (false, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            right |= line.starts_with("HTTP/1.1 200");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        if right {
            seconds.push(asked.elapsed().as_secs_f64());
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
    let seconds = outcome.took.as_secs_f64();
    let share = 100.0 * outcome.shed as f64 / outcome.due.max(1) as f64;
    println!(
        "| {label} | {load} | {per_second:.0} | {:.0} | {} | {} | {share:.1} % | {} | {} |",
        outcome.right as f64 / seconds,
        milliseconds(outcome.right_at(0.5)),
        milliseconds(outcome.right_at(0.99)),
        milliseconds(outcome.shed_at(0.99)),
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
    let median = alone.get(alone.len() / 2).copied().context("no right answer")?;
    let high = alone[alone.len() * 99 / 100];
    let closed_row = |clients: u64, answered: usize, time: Duration, median: f64, high: f64| {
        let per_second = answered as f64 / time.as_secs_f64();
        let (median, high) = (median * 1000.0, high * 1000.0);
        println!(
            "| {label} | clients without a pause: {clients} | – | {per_second:.0} | {median:.2} | {high:.2} | – | – | – |"
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
    let ask: Ask = Arc::new(move |number| Request::post(url.clone(), body(number, users)));
    let check: Check = Arc::new(|answer| {
        anyhow::ensure!(answer["items"].as_array().is_some_and(|items| items.len() == ITEMS as usize), "too few items");
        Ok(())
    });
    for times in [0.5, 1.0, 2.0, 5.0] {
        let per_second = capacity * times;
        if per_second > GENERATED_PER_SECOND_MAX {
            break;
        }
        let outcome = Load::run(&http, per_second, time, Arc::clone(&ask), Arc::clone(&check)).await?;
        row(label, &format!("{times}×"), per_second, &outcome);
    }
    if capacity / 2.0 > GENERATED_PER_SECOND_MAX {
        let outcome = Load::run(&http, GENERATED_PER_SECOND_MAX / 2.0, time, ask, check).await?;
        row(label, "fixed", GENERATED_PER_SECOND_MAX / 2.0, &outcome);
    }
    Ok(())
}
