//! `recmesh-sidecar suggest`: prints a resource for a data file on standard output, and a data
//! profile on standard error.

use std::{io::IsTerminal as _, path::Path};

use anyhow::Result;
use recommender_trainer::{
    Options, Progress, ROWS_SAMPLED_MAX, RunError, Sample, local_config, local_source, progress, read_rows, sample,
};
use sidecar_contract::{Column, Csv, ExitCode, Format, Items, Signal};

use crate::{
    args::{SignalArg, SuggestArgs},
    commands::report_error,
    suggest::{
        Suggestion,
        columns::{Columns, Table},
        location::{self, DataLocation},
        report, resource,
        shape::{self, COLON, DELIMITERS},
        signal::{self, SignalGuess},
        sizes,
    },
};

/// Rows that are read to choose a delimiter.
const DELIMITER_ROWS: u64 = 200;

/// Inspects the data, and prints the data profile and the suggested resource.
///
/// # Errors
/// A command line that names a missing column, or data whose columns cannot be identified without
/// it.
pub async fn run(args: SuggestArgs) -> Result<ExitCode> {
    match suggest(&args).await {
        Ok(suggestion) => {
            eprint!("{}", report::render(&suggestion));
            print!("{}", resource::render(&suggestion));
            Ok(ExitCode::Done)
        }
        Err(error) => error.downcast::<RunError>().map(|error| report_error(&error)),
    }
}

/// Builds the suggestion without printing it.
///
/// # Errors
/// A [`RunError`] for invalid data; any other error is about the command line.
pub async fn suggest(args: &SuggestArgs) -> Result<Suggestion> {
    let name = location::name(args.name.as_deref(), &args.data)?;
    let given_location = args.source.as_deref().map(|text| DataLocation::parse(text, "--source")).transpose()?;
    let given_items_location =
        args.items_source.as_deref().map(|text| DataLocation::parse(text, "--items-source")).transpose()?;
    let inspected = inspect(&args.data, "spec.data", args.delimiter, args.header).await?;
    let given = [
        ("user", args.user.as_deref()),
        ("item", args.item.as_deref()),
        ("rating", args.rating.as_deref()),
        ("timestamp", args.timestamp.as_deref()),
    ];
    let columns = Table::new(&inspected.sample, inspected.csv.header).interactions(&given)?;
    let mut config = local_config(&args.data);
    config.format = Some(inspected.format);
    config.csv = inspected.csv;
    // Both are always present: `interactions` returns an error otherwise.
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
    // The signal, which is not known yet, affects how rows are merged, not how they are read.
    let reading = config.clone();
    let rows = read_rows(&reading, args.rows, progress, &Options::default()).await?;
    let ratings = if config.columns.rating.is_some() { rows.ratings() } else { Vec::new() };
    let signal = match args.signal {
        Some(SignalArg::Implicit) => SignalGuess::from_flag(Signal::Implicit),
        Some(SignalArg::Explicit) => SignalGuess::from_flag(Signal::Explicit),
        None => signal::guess(config.columns.rating.as_ref(), &ratings),
    };
    config.signal = signal.signal;
    let profile = tokio::task::block_in_place(|| rows.profile(signal.signal))?;
    let sizes = sizes::choose(&mut config, &profile)?;
    let bytes = |path: &Path| std::fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
    // Both tables share one ConfigMap.
    let total_bytes = bytes(&args.data).saturating_add(args.items.as_deref().map_or(0, bytes));
    let items_location = args
        .items
        .as_deref()
        .map(|path| given_items_location.unwrap_or_else(|| DataLocation::of_file(path, total_bytes, &name)));
    let location = given_location.unwrap_or_else(|| DataLocation::of_file(&args.data, total_bytes, &name));
    let items = items.zip(args.items.as_ref()).map(|((_, columns), path)| (columns, path.display().to_string()));
    let path = args.data.display().to_string();
    Ok(Suggestion {
        name,
        path,
        config,
        shape: inspected.shape,
        columns,
        items,
        signal,
        profile,
        ratings,
        location,
        items_location,
        sizes,
    })
}

/// A table with a known format and a sample of its columns.
struct Inspected {
    format: Format,
    csv: Csv,
    sample: Sample,
    shape: String,
}

async fn inspect(
    path: &Path,
    spec_field: &'static str,
    delimiter: Option<char>,
    header: Option<bool>,
) -> Result<Inspected> {
    let source = local_source(path);
    let read_sample = |delimiter, rows, columns| {
        let source = &source;
        async move { sample(source, None, &Csv { header: false, delimiter }, spec_field, rows, columns).await }
    };
    let first = read_sample(None, DELIMITER_ROWS, false).await?;
    let detected_format = first.format.unwrap_or(Format::Csv);
    let default_delimiter = match detected_format {
        Format::Csv => Some(','),
        Format::Tsv => Some('\t'),
        Format::Jsonl | Format::Parquet => None,
    };
    let (mut delimiter, is_text) = (delimiter, default_delimiter.is_some());
    let mut has_separator_line = false;
    if let (Some(default), None) = (default_delimiter, delimiter) {
        let mut tried = vec![(default, first.clone())];
        for other in DELIMITERS.into_iter().filter(|other| *other != default) {
            tried.push((other, read_sample(Some(other), DELIMITER_ROWS, false).await?));
        }
        let best = shape::delimiter(&tried);
        // The format's own delimiter stays unset: a first line such as `sep=;` may replace it.
        delimiter = best.filter(|best| *best != default);
        has_separator_line =
            best == Some(default) && read_sample(best, DELIMITER_ROWS, false).await?.width != first.width;
        if best.is_none() && shape::is_double_colon(&read_sample(Some(COLON), DELIMITER_ROWS, true).await?) {
            delimiter = Some(COLON);
        }
    }
    let sample = read_sample(delimiter, ROWS_SAMPLED_MAX, true).await?;
    let described_as = &source.described_as;
    shape::check(&sample, described_as)?;
    if !is_text {
        let format = if detected_format == Format::Parquet { "Parquet" } else { "JSON Lines" };
        let shape = format!("{format}, {} columns", sample.width);
        return Ok(Inspected { format: detected_format, csv: Csv::default(), sample, shape });
    }
    let (has_header, reason) = match header {
        Some(header) => (header, "set by --header"),
        None => shape::has_header(&sample),
    };
    if has_header && sample.rows < 2 {
        return Err(crate::suggest::bad_data(format!(
            "{described_as} has a header but no rows: expected one or more rows"
        ))
        .into());
    }
    // Tab-separated text is a format of its own.
    let format = match delimiter {
        Some('\t') => Format::Tsv,
        Some(_) => Format::Csv,
        None => detected_format,
    };
    let format_delimiter = if format == Format::Tsv { '\t' } else { ',' };
    let delimiter_text = match delimiter.unwrap_or(format_delimiter) {
        _ if has_separator_line => "delimiter of its first line (sep=)".to_owned(),
        '\t' => "tab-delimited".to_owned(),
        COLON if shape::is_double_colon(&sample) => "delimiter ::, read as : with empty columns in between".to_owned(),
        other => format!("delimiter {other:?}"),
    };
    let header_text = if has_header { "header" } else { "no header" };
    let shape = format!("{delimiter_text}, {} columns, {header_text} ({reason})", sample.width);
    let csv = Csv { header: has_header, delimiter: delimiter.filter(|delimiter| *delimiter != format_delimiter) };
    Ok(Inspected { format, csv, sample, shape })
}

async fn item_table(path: &Path, item: &Column) -> Result<(Items, Columns)> {
    let inspected = inspect(path, "spec.data.items", None, None).await?;
    let columns = Table::new(&inspected.sample, inspected.csv.header).items(item)?;
    let table = Items {
        source: local_source(path),
        format: Some(inspected.format),
        csv: inspected.csv,
        id: columns.get("id").unwrap_or(item).clone(),
        title: columns.get("title").cloned(),
        available: columns.get("available").cloned(),
        attributes: columns.attributes.clone(),
    };
    Ok((table, columns))
}
