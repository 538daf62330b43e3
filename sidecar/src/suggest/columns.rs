//! Roles of columns: detected from their names, or else from their values.

use anyhow::{Result, bail};
use recommender_trainer::{Sample, Values};
use sidecar_contract::Column;

/// Minimum fraction of a column's values that must be of a type for the column to be of that type.
pub const TYPE_FRACTION_MIN: f64 = 0.9;

/// Names of columns without endings such as `id`, the most specific first.
const USERS: &str = "user u customer member visitor account client person patient reader reviewer buyer shopper subscriber \
                     listener player viewer student employee household profile username vehicle device cookie session";
const ITEMS: &str = "item i movie film product sku asin isbn track song book video game article course recipe show episode artist \
                     album business restaurant place poi venue location hotel listing page content document news post segment \
                     app ad anime joke beer podcast offer url area";
const RATINGS: &str = "rating ratings score stars star overall grade rate";
const COUNTS: &str = "weight count quantity qty plays playcount listens views clicks visits purchases strength frequency amount \
                       passes times value";
const TIMES: &str = "timestamp ts time datetime date at when created createdat eventtime unixtime unixreviewtime updated updatedat \
                     day bought played";
const TITLES: &str = "title name label heading description";
const AVAILABLE: &str = "available availability instock stock active enabled licensed open published visible";
const ATTRIBUTES: &str = "genre genres category categories subcategory brand type kind tag tags topic topics author authors artist \
                          artists director publisher maker manufacturer vendor color colour style department section language \
                          country region city cuisine material collection series season gender";
/// Maximum number of item feature columns of the resource.
const ATTRIBUTES_MAX: usize = 5;
/// Maximum fraction of distinct values among the values of a feature column: of a column with the
/// name of a feature, whose values may be combinations, and of any other.
const DISTINCT_FRACTION_MAX: (f64, f64) = (0.9, 0.25);
/// Endings that are removed from a name.
const ID_ENDINGS: [&str; 8] = ["ids", "id", "key", "code", "number", "uuid", "hash", "idx"];
/// Added to the rank of a name of which only the last word matches.
const LAST_WORD_RANK: usize = 1000;
/// A column with at most this many distinct values, none above [`SCALE_HIGH_MAX`], is more likely a
/// rating than an id.
const SCALE_VALUES_MAX: u64 = 21;
const SCALE_HIGH_MAX: f64 = 10.0;
/// Minimum number of rows for which a column of row numbers can be recognized.
const ROW_NUMBER_ROWS_MIN: u64 = 20;

/// A role, the names of its columns in order of preference, and the condition that their values
/// must meet.
type ColumnRule = (&'static str, &'static [&'static str], fn(&Candidate) -> bool);
const INTERACTION_RULES: [ColumnRule; 4] = [
    ("user", &[USERS], Candidate::may_be_id),
    ("item", &[ITEMS], Candidate::may_be_id),
    ("timestamp", &[TIMES], |_| true),
    ("rating", &[RATINGS, COUNTS], Candidate::is_numeric),
];
const ITEM_RULES: [ColumnRule; 3] = [
    ("id", &[ITEMS, "id"], Candidate::may_be_id),
    ("title", &[TITLES], |candidate| !candidate.is_numeric()),
    ("available", &[AVAILABLE], |candidate| candidate.fraction(candidate.values.flags) >= TYPE_FRACTION_MIN),
];

/// The role of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// `user`, `item`, `rating`, `timestamp`; or `id`, `title`, `available`.
    pub role: &'static str,
    /// The column, as the resource refers to it.
    pub column: Column,
    /// Why it has this role.
    pub reason: &'static str,
}

/// Roles of a table's columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The columns that have a role.
    pub guesses: Vec<Guess>,
    /// Columns of an item table whose values several items share, at most `ATTRIBUTES_MAX`.
    pub attributes: Vec<Column>,
    /// What the user should check.
    pub warnings: Vec<String>,
}

impl Columns {
    /// The column with a role.
    pub fn get(&self, role: &str) -> Option<&Column> {
        self.guesses.iter().find(|guess| guess.role == role).map(|guess| &guess.column)
    }

    /// `user "userId" (by name), …`.
    pub fn described(&self) -> String {
        let described = |Guess { role, column, reason }: &Guess| match column {
            Column::Index(index) => format!("{role} {index} ({reason})"),
            Column::Name(name) => format!("{role} {name:?} ({reason})"),
        };
        self.guesses.iter().map(described).collect::<Vec<_>>().join(", ")
    }
}

/// One column, with its name if it has one.
struct Candidate {
    column: Column,
    name: Option<String>,
    values: Values,
    rows: u64,
}

/// A table's columns, and the roles that are assigned so far.
pub struct Table {
    columns: Vec<Candidate>,
    /// Role, index of the column, reason.
    assigned: Vec<(&'static str, usize, &'static str)>,
    warnings: Vec<String>,
}

impl Table {
    /// `header`: whether the first line of delimited text is a header.
    pub fn new(sample: &Sample, header: bool) -> Self {
        let name = |(index, values): (usize, &Values)| match &sample.names {
            Some(names) => names.get(index).cloned(),
            None => Some(values.first.clone()).filter(|name| header && !name.is_empty()),
        };
        let names: Vec<Option<String>> = sample.columns.iter().enumerate().map(name).collect();
        let candidate = |((index, name), values): ((u32, &Option<String>), &Values)| {
            // Columns with the same name are distinguished by index.
            let is_unique = names.iter().filter(|other| *other == name).count() == 1;
            let column = name.clone().filter(|_| is_unique).map_or(Column::Index(index), Column::Name);
            Candidate { column, name: name.clone(), values: values.clone(), rows: sample.rows }
        };
        let columns = (0..).zip(&names).zip(&sample.columns).map(candidate).collect();
        Self { columns, assigned: Vec::new(), warnings: Vec::new() }
    }

    /// Columns of interactions; `given` are roles and their columns from the command line.
    ///
    /// # Errors
    /// A given column that does not exist, a user or item column that cannot be detected, or
    /// timestamps that a run would reject.
    pub fn interactions(mut self, given: &[(&'static str, Option<&str>)]) -> Result<Columns> {
        for (role, requested) in given {
            let Some(requested) = requested else { continue };
            let is_requested =
                |candidate: &Candidate| matches!(&candidate.column, Column::Name(name) if name == requested);
            let by_name = self.columns.iter().position(is_requested);
            let index = by_name.or_else(|| requested.parse().ok().filter(|index| *index < self.columns.len()));
            let Some(index) = index else { bail!("--{role} {requested:?} is not a column: {}", self.listed()) };
            self.assigned.push((*role, index, "set on the command line"));
        }
        self.assign_by_name(&INTERACTION_RULES)?;
        self.assign_by_values();
        if self.index_of("user").is_none() || self.index_of("item").is_none() {
            bail!("cannot detect the user column and the item column: {}. Set --user and --item", self.listed());
        }
        self.check_timestamps()?;
        self.warn_of_unused_ratings();
        for role in ["user", "item"] {
            let Some(id) = self.index_of(role).and_then(|index| self.columns.get(index)) else { continue };
            if id.fraction(id.values.point_zero) > 0.5 {
                self.warnings.push(format!(
                    "ids in {} ({role}) have decimals (7.0): ids are compared as text, and 7.0 is not 7. Export whole numbers; \
                     otherwise requests and the item table must use 7.0, too",
                    id.column
                ));
            }
        }
        Ok(self.finish())
    }

    /// Columns of an item table. A column with the name of the interactions' item column is the id.
    ///
    /// # Errors
    /// An id column that cannot be detected.
    pub fn items(mut self, item: &Column) -> Result<Columns> {
        let same = self.columns.iter().position(|other| other.column == *item && other.name.is_some());
        self.assigned.extend(same.map(|index| ("id", index, "same name as in the interactions")));
        self.assign_by_name(&ITEM_RULES)?;
        if self.index_of("id").is_none() {
            let is_id = |column: &Candidate| column.may_be_id() && column.values.distinct == column.values.filled;
            let Some(index) = self.columns.iter().position(is_id) else {
                bail!(
                    "cannot detect the id column of the item table: {}. Give it the same name as in the interactions",
                    self.listed()
                );
            };
            self.assigned.push(("id", index, "first column with unique values"));
        }
        if self.index_of("title").is_none() {
            let is_title = |column: &Candidate| column.name.is_none() && column.fraction(column.values.spaced) > 0.2;
            let index = self.columns.iter().position(is_title);
            self.assigned.extend(index.map(|index| ("title", index, "first column with several words")));
        }
        let attributes = self.attributes();
        Ok(Columns { attributes, ..self.finish() })
    }

    /// Columns that may be item features: first those with the name of one, then those with the
    /// fewest distinct values.
    fn attributes(&self) -> Vec<Column> {
        let mut found: Vec<&Candidate> =
            self.unassigned(Candidate::may_be_attribute).iter().filter_map(|index| self.columns.get(*index)).collect();
        found.sort_by_key(|column| (!column.has_attribute_name(), column.values.distinct));
        found.into_iter().take(ATTRIBUTES_MAX).map(|column| column.column.clone()).collect()
    }

    fn finish(self) -> Columns {
        let Self { columns, assigned, warnings } = self;
        let roles = ["user", "item", "rating", "timestamp", "id", "title", "available"].into_iter();
        let guess = |role| {
            let (_, index, reason) = assigned.iter().find(|(other, ..)| *other == role)?;
            Some(Guess { role, column: columns.get(*index)?.column.clone(), reason })
        };
        Columns { guesses: roles.filter_map(guess).collect(), attributes: Vec::new(), warnings }
    }

    fn index_of(&self, role: &str) -> Option<usize> {
        self.assigned.iter().find(|(other, ..)| *other == role).map(|(_, index, _)| *index)
    }

    /// Indices of the columns that have no role yet and meet a condition.
    fn unassigned(&self, fits: impl Fn(&Candidate) -> bool) -> Vec<usize> {
        let has_role = |index: usize| self.assigned.iter().any(|(_, other, _)| *other == index);
        let columns = self.columns.iter().enumerate();
        columns.filter(|(index, column)| !has_role(*index) && fits(column)).map(|(index, _)| index).collect()
    }

    fn assign_by_name(&mut self, rules: &[ColumnRule]) -> Result<()> {
        for (role, names, fits) in rules {
            if self.index_of(role).is_some() {
                continue;
            }
            let column = |index: &usize| self.columns.get(*index);
            let rank = |index: &usize| rank(column(index)?.name.as_deref()?, names);
            let mut ranked = self.unassigned(fits);
            ranked.retain(|index| rank(index).is_some());
            ranked.sort_by_key(rank);
            let Some(first) = ranked.first().and_then(column) else { continue };
            if let (Column::Index(_), Some(name)) = (&first.column, &first.name) {
                bail!("several columns are named {name:?}: set --{role} to an index, from 0");
            }
            if let Some(second) = ranked.get(1).and_then(column) {
                self.warnings.push(format!(
                    "both {} and {} may be the {role}, and the former is used: check, or set --{role}",
                    first.column, second.column
                ));
            }
            self.assigned.extend(ranked.first().map(|index| (*role, *index, "by name")));
        }
        Ok(())
    }

    /// Assigns the roles that names leave open.
    fn assign_by_values(&mut self) {
        let missing: Vec<&'static str> =
            ["user", "item"].into_iter().filter(|role| self.index_of(role).is_none()).collect();
        // Numbers in the range of timestamps may be ids. They are a timestamp only if enough other
        // columns may be ids.
        if self.index_of("timestamp").is_none()
            && let Some(index) = self.unassigned(Candidate::may_be_timestamp).first()
            && self.unassigned(Candidate::may_be_id).iter().filter(|id| *id != index).count() >= missing.len()
        {
            self.assigned.push(("timestamp", *index, "values are times since 1970"));
        }
        let is = |index: usize, condition: fn(&Candidate) -> bool| self.columns.get(index).is_some_and(condition);
        let mut ids = self.unassigned(Candidate::may_be_id);
        // A column with few small numbers is the id only as a last resort. Exports are often sorted
        // by user.
        ids.sort_by_key(|index| is(*index, Candidate::is_scale));
        let mut reason = "next column that may be an id";
        if missing.len() == 2
            && let [first, second, ..] = *ids
            && is(second, Candidate::is_grouped)
            && !is(first, Candidate::is_grouped)
        {
            ids.swap(0, 1);
            reason = "rows are sorted by user";
        }
        if !missing.is_empty() && !ids.is_empty() {
            self.warnings.push(format!(
                "{} detected from the values, not from column names ({reason}): check, or set --user and --item",
                missing.join(" and ")
            ));
        }
        self.assigned.extend(missing.into_iter().zip(ids).map(|(role, index)| (role, index, reason)));
        let last_id = self.index_of("user").max(self.index_of("item"));
        if self.index_of("rating").is_none() {
            let scales = self.unassigned(|column| column.is_scale() && column.name.is_none());
            let scale = scales.into_iter().find(|index| Some(*index) > last_id);
            self.assigned.extend(scale.map(|index| ("rating", index, "few distinct small numbers after the ids")));
        }
    }

    /// Ignores a timestamp column that a run cannot parse, if the resource can leave it out.
    fn check_timestamps(&mut self) -> Result<()> {
        let Some(time) = self.index_of("timestamp").and_then(|index| self.columns.get(index)) else { return Ok(()) };
        let (column, values) = (&time.column, &time.values);
        if time.fraction(values.timestamps + values.numbers) >= TYPE_FRACTION_MIN {
            return Ok(());
        }
        let problem = "has no supported time format";
        let fix = "write RFC 3339 (2024-05-01T10:00:00Z) or seconds since 1970";
        // A column of this name is the timestamp even if the resource names none.
        if time.name.as_deref() == Some("timestamp") {
            bail!("{column} {problem}, so every row would be dropped: {fix}, or rename the column");
        }
        let column = column.clone();
        self.assigned.retain(|(role, ..)| *role != "timestamp");
        let warning =
            format!("{column} is ignored as the timestamp, because it {problem}: {fix}, to hold out the newest rows");
        self.warnings.push(warning);
        Ok(())
    }

    /// Names a column that has the name of a rating or count and cannot be one.
    fn warn_of_unused_ratings(&mut self) {
        if self.index_of("rating").is_some() {
            return;
        }
        let is_named = |column: &Candidate| {
            column.values.filled > 0
                && column.name.as_deref().is_some_and(|name| rank(name, &[RATINGS, COUNTS]).is_some())
        };
        let warnings: Vec<String> = self.unassigned(is_named).iter().filter_map(|index| self.columns.get(*index)).map(|column| {
            format!(
                "{} has the name of a rating or count, but only {:.0} % of its values are numbers, so it is not used and each row \
                 counts 1: write numbers such as 3.5, or set --rating",
                column.column,
                100.0 * column.fraction(column.values.numbers)
            )
        }).collect();
        self.warnings.extend(warnings);
    }

    fn listed(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|candidate| candidate.column.to_string()).collect();
        format!("the columns are {}", columns.join(", "))
    }
}

impl Candidate {
    /// Fraction of the non-empty values.
    fn fraction(&self, count: u64) -> f64 {
        count as f64 / self.values.filled.max(1) as f64
    }

    fn is_numeric(&self) -> bool {
        self.fraction(self.values.numbers) >= TYPE_FRACTION_MIN
    }

    /// Whether it may be an id: not titles, decimals, a constant, times, or row numbers.
    fn may_be_id(&self) -> bool {
        let Values { filled, distinct, numbers, whole, spaced, timestamps, other_dates, steps, .. } = &self.values;
        let is_small = *filled < ROW_NUMBER_ROWS_MIN;
        let is_row_number = !is_small && distinct == filled && self.fraction(*steps) >= TYPE_FRACTION_MIN;
        2 * filled >= self.rows.saturating_sub(1).max(1)
            && (*distinct > 1 || is_small)
            && self.fraction(numbers - whole) < 0.1
            && self.fraction(*spaced) < 0.3
            && self.fraction(timestamps + other_dates) < 0.5
            && !is_row_number
    }

    fn has_attribute_name(&self) -> bool {
        self.name.as_deref().is_some_and(|name| rank(name, &[ATTRIBUTES]).is_some())
    }

    /// Whether several items share its values: not numbers, dates, flags, links or descriptions.
    fn may_be_attribute(&self) -> bool {
        let Values { filled, distinct, numbers, timestamps, other_dates, flags, spaced, .. } = &self.values;
        let (named, other) = DISTINCT_FRACTION_MAX;
        let is_named = self.has_attribute_name();
        let distinct_max = if is_named { named } else { other } * *filled as f64;
        let is_text = self.fraction(*numbers) < 0.5 && self.fraction(*flags) < 0.5 && self.fraction(*spaced) < 0.5;
        2 * filled >= self.rows.saturating_sub(1)
            && *distinct > 1
            && *distinct as f64 <= distinct_max
            && self.fraction(timestamps + other_dates) < 0.5
            && (is_named || is_text)
    }

    fn is_scale(&self) -> bool {
        let Values { distinct, low, high, .. } = &self.values;
        self.is_numeric() && *distinct <= SCALE_VALUES_MAX && *low >= 0.0 && *high <= SCALE_HIGH_MAX
    }

    /// Whether equal values are adjacent.
    fn is_grouped(&self) -> bool {
        let Values { distinct, changes, filled, .. } = &self.values;
        changes + 1 == *distinct && 2 * distinct < *filled
    }

    fn may_be_timestamp(&self) -> bool {
        let Values { timestamps, seconds, millis, finer, .. } = &self.values;
        [*timestamps + *seconds, *millis, *finer].into_iter().any(|times| self.fraction(times) >= TYPE_FRACTION_MIN)
    }
}

/// Whether the column has the name of a count or amount of events.
pub fn is_count_name(column: &Column) -> bool {
    matches!(column, Column::Name(name) if rank(name, &[COUNTS]).is_some())
}

/// Whether the column has the name of a rating.
pub fn is_rating_name(column: &Column) -> bool {
    matches!(column, Column::Name(name) if rank(name, &[RATINGS]).is_some())
}

/// Whether this is a common column name.
pub fn is_known_name(name: &str) -> bool {
    rank(name, &[USERS, ITEMS, RATINGS, COUNTS, TIMES, TITLES, AVAILABLE]).is_some()
}

/// Rank of a name in lists of names, lower is better: that of the whole name, without endings such
/// as `id`, or else that of its last word.
fn rank(name: &str, lists: &[&str]) -> Option<usize> {
    let position = |word: &str| lists.iter().flat_map(|list| list.split(' ')).position(|other| other == word);
    let without_ending = |word: &str| ID_ENDINGS.iter().find_map(|ending| word.strip_suffix(ending)).map(str::to_owned);
    let parts = split_words(name);
    let whole = parts.concat();
    let stem = without_ending(&whole).filter(|stem| !stem.is_empty());
    if let Some(rank) = position(&whole).or_else(|| position(&stem?)) {
        return Some(rank);
    }
    let mut last = parts.iter().rev().filter(|word| without_ending(word).is_none_or(|stem| !stem.is_empty()));
    let last = if parts.len() > 1 { last.next()? } else { return None };
    let rank = position(last).or_else(|| position(&without_ending(last)?));
    rank.map(|rank| LAST_WORD_RANK + rank)
}

/// Splits `lastPlayed_at` into last, played, at.
fn split_words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_spellings_of_names_are_known() {
        for (words, known) in [
            (USERS, "user_id userId UserID user uid User-ID customer purchasing_customer_id reviewerID memberKey"),
            (ITEMS, "item_id movieId sku ISBN product_id parent_asin track business_id articleNumber"),
            (TIMES, "timestamp ts created_at unixReviewTime last_played boughtAt"),
            (RATINGS, "rating review_score Stars"),
            (COUNTS, "play_count Quantity"),
        ] {
            for name in known.split(' ') {
                assert!(rank(name, &[words]).is_some(), "{name}");
            }
        }
        for name in ["genres", "paid", "price", "order", "ad hoc"] {
            assert!(!is_known_name(name), "{name}");
        }
        assert!(rank("user_id", &[USERS]) < rank("session_id", &[USERS]));
        assert!(rank("session_id", &[USERS]) < rank("purchasing_customer", &[USERS]));
    }
}
