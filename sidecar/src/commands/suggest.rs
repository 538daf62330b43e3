//! `recmesh-sidecar suggest`: a resource for somebody's data on standard output, and what the data is like on standard error.

use std::{io::IsTerminal as _, path::Path};

use anyhow::Result;
use recommender_trainer::{
    Options, Progress, ROWS_SAMPLED_MAX, Sample, Stop, local_config, local_source, progress, read_rows, sample,
};
use sidecar_contract::{Column, Csv, ExitCode, Format, Items, Signal};

use crate::{
    args::{SignalArg, SuggestArgs},
    commands::stopped,
    suggest::{
        Suggestion,
        columns::{Columns, Table},
        place::{self, Place},
        report, resource,
        shape::{self, DELIMITERS, DOUBLED},
        signal::{self, SignalGuess},
        sizes,
    },
};

/// Rows by which a delimiter is chosen.
const TRIED_ROWS: u64 = 200;

/// Looks, guesses, and prints both.
///
/// # Errors
/// A command line that leaves a choice open, or names what is not there.
pub async fn run(args: SuggestArgs) -> Result<ExitCode> {
    match suggest(&args).await {
        Ok(suggestion) => {
            eprint!("{}", report::render(&suggestion));
            print!("{}", resource::render(&suggestion));
            Ok(ExitCode::Done)
        }
        Err(error) => error.downcast::<Stop>().map(|stop| stopped(&stop)),
    }
}

/// Everything but the printing.
///
/// # Errors
/// A [`Stop`] if it is the data's fault, else what is wrong with the command line.
pub async fn suggest(args: &SuggestArgs) -> Result<Suggestion> {
    let name = place::name(args.name.as_deref(), &args.data)?;
    let named_place = args.source.as_deref().map(|text| Place::parse(text, "--source")).transpose()?;
    let named_items_place =
        args.items_source.as_deref().map(|text| Place::parse(text, "--items-source")).transpose()?;
    let looked = look(&args.data, "spec.data", args.delimiter, args.header).await?;
    let given = [
        ("user", args.user.as_deref()),
        ("item", args.item.as_deref()),
        ("rating", args.rating.as_deref()),
        ("timestamp", args.timestamp.as_deref()),
    ];
    let columns = Table::new(&looked.sample, looked.csv.header).interactions(&given)?;
    let mut config = local_config(&args.data);
    config.format = Some(looked.format);
    config.csv = looked.csv;
    // Found both, or there would be an error.
    config.columns.user = columns.get("user").cloned().unwrap_or(config.columns.user);
    config.columns.item = columns.get("item").cloned().unwrap_or(config.columns.item);
    config.columns.rating = columns.get("rating").cloned();
    config.columns.timestamp = columns.get("timestamp").cloned();
    let items = match &args.items {
        Some(path) => Some(item_table(path, &config.columns.item).await?),
        None => None,
    };
    config.items = items.as_ref().map(|(table, _)| table.clone());
    let quiet: &dyn Progress = &progress::Silent;
    let shown = std::io::stderr().is_terminal().then(progress::for_standard_error);
    let progress = shown.as_deref().unwrap_or(quiet);
    // What a row means changes how rows merge, not how they are read.
    let reading = config.clone();
    let rows = read_rows(&reading, args.rows, progress, &Options::default()).await?;
    let ratings = if config.columns.rating.is_some() { rows.ratings() } else { Vec::new() };
    let signal = match args.signal {
        Some(SignalArg::Implicit) => SignalGuess::said(Signal::Implicit),
        Some(SignalArg::Explicit) => SignalGuess::said(Signal::Explicit),
        None => signal::guess(config.columns.rating.as_ref(), &ratings),
    };
    config.signal = signal.signal;
    let profile = tokio::task::block_in_place(|| rows.profile(signal.signal))?;
    let sizes = sizes::choose(&mut config, &profile)?;
    let bytes = |path: &Path| std::fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
    // Both tables go into one ConfigMap.
    let together = bytes(&args.data).saturating_add(args.items.as_deref().map_or(0, bytes));
    let items_place =
        args.items.as_deref().map(|path| named_items_place.unwrap_or_else(|| Place::of_file(path, together, &name)));
    let place = named_place.unwrap_or_else(|| Place::of_file(&args.data, together, &name));
    let items = items.zip(args.items.as_ref()).map(|((_, columns), path)| (columns, path.display().to_string()));
    let path = args.data.display().to_string();
    Ok(Suggestion {
        name,
        path,
        config,
        shape: looked.shape,
        columns,
        items,
        signal,
        profile,
        ratings,
        place,
        items_place,
        sizes,
    })
}

/// A table whose lines can be cut.
struct Looked {
    format: Format,
    csv: Csv,
    sample: Sample,
    shape: String,
}

async fn look(path: &Path, spec_field: &'static str, delimiter: Option<char>, header: Option<bool>) -> Result<Looked> {
    let source = local_source(path);
    let look = |delimiter, rows, columns| {
        let source = &source;
        async move { sample(source, None, &Csv { header: false, delimiter }, spec_field, rows, columns).await }
    };
    let first = look(None, TRIED_ROWS, false).await?;
    let named = first.format.unwrap_or(Format::Csv);
    let own = match named {
        Format::Csv => Some(','),
        Format::Tsv => Some('\t'),
        Format::Jsonl | Format::Parquet => None,
    };
    let (mut delimiter, is_text) = (delimiter, own.is_some());
    if let (Some(own), None) = (own, delimiter) {
        let mut tried = vec![(own, first.clone())];
        for other in DELIMITERS.into_iter().filter(|other| *other != own) {
            tried.push((other, look(Some(other), TRIED_ROWS, false).await?));
        }
        delimiter = shape::delimiter(&tried);
        if delimiter.is_none() && shape::is_doubled(&look(Some(DOUBLED), TRIED_ROWS, true).await?) {
            delimiter = Some(DOUBLED);
        }
    }
    let sample = look(delimiter, ROWS_SAMPLED_MAX, true).await?;
    let described_as = &source.described_as;
    shape::check(&sample, described_as)?;
    if !is_text {
        let word = if named == Format::Parquet { "Parquet" } else { "JSON lines" };
        let shape = format!("{word}, {} columns", sample.width);
        return Ok(Looked { format: named, csv: Csv::default(), sample, shape });
    }
    let (has_header, why) = match header {
        Some(header) => (header, "--header says so"),
        None => shape::has_header(&sample),
    };
    if has_header && sample.rows < 2 {
        return Err(crate::suggest::bad_data(format!("{described_as} has a header but no rows")).into());
    }
    // A tab has a format of its own.
    let format = if delimiter == Some('\t') { Format::Tsv } else { Format::Csv };
    let by_format = if format == Format::Tsv { '\t' } else { ',' };
    let between = match delimiter.unwrap_or(by_format) {
        '\t' => "tabs".to_owned(),
        DOUBLED if shape::is_doubled(&sample) => ":: between fields, read as : with empty columns".to_owned(),
        other => format!("{other:?} between fields"),
    };
    let shape = format!("{between}, {} columns, {} header ({why})", sample.width, if has_header { "a" } else { "no" });
    let csv = Csv { header: has_header, delimiter: delimiter.filter(|delimiter| *delimiter != by_format) };
    Ok(Looked { format, csv, sample, shape })
}

async fn item_table(path: &Path, item: &Column) -> Result<(Items, Columns)> {
    let looked = look(path, "spec.data.items", None, None).await?;
    let columns = Table::new(&looked.sample, looked.csv.header).items(item)?;
    let table = Items {
        source: local_source(path),
        format: Some(looked.format),
        csv: looked.csv,
        id: columns.get("id").unwrap_or(item).clone(),
        title: columns.get("title").cloned(),
        available: columns.get("available").cloned(),
        attributes: Vec::new(),
    };
    Ok((table, columns))
}
