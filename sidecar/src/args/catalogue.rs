//! Options of `catalogue`.

use std::path::PathBuf;

use clap::Args;
use sidecar_contract::{Column, FilterColumn, paths};

use super::values::{FormatArg, column, delimiter, filter};

/// Arguments of `catalogue`.
#[derive(Debug, Args)]
pub struct CatalogueArgs {
    /// Item table: a file, or a directory of files, in any format of the interactions.
    #[arg(required_unless_present = "config")]
    pub items: Option<PathBuf>,
    /// Model file whose items the catalogue has.
    #[arg(long, default_value = "model.safetensors")]
    pub model: PathBuf,
    /// File to write the catalogue to; default: beside the model, where other commands find it.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Format of the item table; default: by file name.
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
    /// Field delimiter of delimited text; default: that of the format.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// Item id column, by name or by index from 0.
    #[arg(long, value_name = "COLUMN", value_parser = column, default_value = "item_id")]
    pub id: Column,
    /// Title column.
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    pub title: Option<Column>,
    /// Availability column; items whose value means no are not recommended.
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    pub available: Option<Column>,
    /// Filter columns with their kind: category (the default), number or time; for example
    /// genre,price:number,added:time.
    #[arg(long, value_name = "COLUMNS", value_parser = filter, value_delimiter = ',')]
    pub filters: Vec<FilterColumn>,
    /// Config of a Job, as JSON.
    #[arg(long, env = paths::CATALOGUE_CONFIG_ENV, hide = true)]
    pub config: Option<String>,
}
