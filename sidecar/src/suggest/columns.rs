//! Which column is what: by its name, and where names do not tell by what stands in it.

use anyhow::{Result, bail};
use recommender_trainer::{Sample, Values};
use sidecar_contract::Column;

use super::shape::MOST;

/// Names of columns without `id` and the like, the most telling first.
const USERS: &str = "user u customer member visitor account client person patient reader reviewer buyer shopper subscriber \
                     listener player viewer student employee household profile username vehicle device cookie session";
const ITEMS: &str = "item i movie film product sku asin isbn track song book video game article course recipe show episode artist \
                     album business restaurant place poi venue location hotel listing page content document news post segment \
                     app ad anime joke beer podcast offer url area";
const OPINIONS: &str = "rating ratings score stars star overall grade rate";
const AMOUNTS: &str = "weight count quantity qty plays playcount listens views clicks visits purchases strength frequency amount \
                       passes times value";
const TIMES: &str = "timestamp ts time datetime date at when created createdat eventtime unixtime unixreviewtime updated updatedat \
                     day bought played";
const TITLES: &str = "title name label heading description";
const AVAILABLE: &str = "available availability instock stock active enabled licensed open published visible";
/// What is cut off the end of a name.
const ID_ENDINGS: [&str; 8] = ["ids", "id", "key", "code", "number", "uuid", "hash", "idx"];
/// A name whose last word is one of the words ranks below those that are one.
const LAST_WORD_RANK: usize = 1000;
/// A column with fewer different values, all small, is rather a rating than an id.
const SCALE_VALUES_MAX: u64 = 21;
const SCALE_HIGH_MAX: f64 = 10.0;
/// Rows from which a column that counts them can be told.
const COUNTED_ROWS_MIN: u64 = 20;

/// What a column can be, what such columns are called, and what must stand in them.
type Kind = (&'static str, &'static [&'static str], fn(&Candidate) -> bool);
const OF_INTERACTIONS: [Kind; 4] = [
    ("user", &[USERS], Candidate::may_be_id),
    ("item", &[ITEMS], Candidate::may_be_id),
    ("timestamp", &[TIMES], |_| true),
    ("rating", &[OPINIONS, AMOUNTS], Candidate::is_numeric),
];
const OF_ITEMS: [Kind; 3] = [
    ("id", &[ITEMS, "id"], Candidate::may_be_id),
    ("title", &[TITLES], |found| !found.is_numeric()),
    ("available", &[AVAILABLE], |found| found.share(found.values.flags) >= MOST),
];

/// One column's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// What it is: `user`, `item`, `rating`, `timestamp`; or `id`, `title`, `available`.
    pub part: &'static str,
    /// As the resource names it.
    pub column: Column,
    /// Why it is thought to be that.
    pub why: &'static str,
}

/// Which column is what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// What was found.
    pub guesses: Vec<Guess>,
    /// What else should be known.
    pub doubts: Vec<String>,
}

impl Columns {
    /// The column of a part.
    pub fn get(&self, part: &str) -> Option<&Column> {
        self.guesses.iter().find(|guess| guess.part == part).map(|guess| &guess.column)
    }

    /// `user "userId" (by its name), …`.
    pub fn described(&self) -> String {
        let described = |Guess { part, column, why }: &Guess| match column {
            Column::Index(number) => format!("{part} {number} ({why})"),
            Column::Name(name) => format!("{part} {name:?} ({why})"),
        };
        self.guesses.iter().map(described).collect::<Vec<_>>().join(", ")
    }
}

/// One column with its name, if it has one.
struct Candidate {
    column: Column,
    name: Option<String>,
    values: Values,
    rows: u64,
}

/// A table's columns, and which of them are something by now.
pub struct Table {
    columns: Vec<Candidate>,
    found: Vec<(&'static str, usize, &'static str)>,
    doubts: Vec<String>,
}

impl Table {
    /// `header` says whether a text's first line names the columns.
    pub fn new(sample: &Sample, header: bool) -> Self {
        let name = |(at, values): (usize, &Values)| match &sample.names {
            Some(names) => names.get(at).cloned(),
            None => Some(values.first.clone()).filter(|name| header && !name.is_empty()),
        };
        let names: Vec<Option<String>> = sample.columns.iter().enumerate().map(name).collect();
        let candidate = |((at, name), values): ((u32, &Option<String>), &Values)| {
            // Only a number tells apart columns of one name.
            let is_unique = names.iter().filter(|other| *other == name).count() == 1;
            let column = name.clone().filter(|_| is_unique).map_or(Column::Index(at), Column::Name);
            Candidate { column, name: name.clone(), values: values.clone(), rows: sample.rows }
        };
        let columns = (0..).zip(&names).zip(&sample.columns).map(candidate).collect();
        Self { columns, found: Vec::new(), doubts: Vec::new() }
    }

    /// Columns of interactions; `given` are parts and their columns from the command line.
    ///
    /// # Errors
    /// A column that is not there, a user or item that nothing tells, or times that a run would stumble over.
    pub fn interactions(mut self, given: &[(&'static str, Option<&str>)]) -> Result<Columns> {
        for (part, wanted) in given {
            let Some(wanted) = wanted else { continue };
            let named =
                self.columns.iter().position(|found| matches!(&found.column, Column::Name(name) if name == wanted));
            let at = named.or_else(|| wanted.parse().ok().filter(|at| *at < self.columns.len()));
            let Some(at) = at else { bail!("--{part} {wanted:?} is no column: {}", self.listed()) };
            self.found.push((*part, at, "as the command line says"));
        }
        self.by_name(&OF_INTERACTIONS)?;
        self.by_content();
        if self.place("user").is_none() || self.place("item").is_none() {
            bail!(
                "it cannot be told which column is the user and which the item: {}. Say --user and --item",
                self.listed()
            );
        }
        self.check_times()?;
        for part in ["user", "item"] {
            let Some(id) = self.place(part).and_then(|at| self.columns.get(at)) else { continue };
            if id.share(id.values.point_zero) > 0.5 {
                self.doubts.push(format!(
                    "ids in {} ({part}) are written with a fraction (7.0): an id is text, and 7.0 is not 7. Write whole numbers, or \
                     requests and the item table must say 7.0, too",
                    id.column
                ));
            }
        }
        Ok(self.finish())
    }

    /// Columns of an item table; the id is called as in the interactions if a column is.
    ///
    /// # Errors
    /// An id that nothing tells.
    pub fn items(mut self, item: &Column) -> Result<Columns> {
        let same = self.columns.iter().position(|found| found.column == *item && found.name.is_some());
        self.found.extend(same.map(|at| ("id", at, "named as in the interactions")));
        self.by_name(&OF_ITEMS)?;
        if self.place("id").is_none() {
            let is_id = |found: &Candidate| found.may_be_id() && found.values.different == found.values.filled;
            let Some(at) = self.columns.iter().position(is_id) else {
                bail!(
                    "it cannot be told which column of the item table is the id: {}. Name it as in the interactions",
                    self.listed()
                );
            };
            self.found.push(("id", at, "the first column of different values"));
        }
        if self.place("title").is_none() {
            let is_title = |found: &Candidate| found.name.is_none() && found.share(found.values.spaced) > 0.2;
            let at = self.columns.iter().position(is_title);
            self.found.extend(at.map(|at| ("title", at, "the first column of several words")));
        }
        Ok(self.finish())
    }

    fn finish(self) -> Columns {
        let Self { columns, found, doubts } = self;
        let parts = ["user", "item", "rating", "timestamp", "id", "title", "available"].into_iter();
        let guess = |part| {
            let (_, at, why) = found.iter().find(|(other, ..)| *other == part)?;
            Some(Guess { part, column: columns.get(*at)?.column.clone(), why })
        };
        Columns { guesses: parts.filter_map(guess).collect(), doubts }
    }

    fn place(&self, part: &str) -> Option<usize> {
        self.found.iter().find(|(other, ..)| *other == part).map(|(_, at, _)| *at)
    }

    /// Columns that are nothing yet, and fit.
    fn free(&self, fits: impl Fn(&Candidate) -> bool) -> Vec<usize> {
        let is_taken = |at: usize| self.found.iter().any(|(_, taken, _)| *taken == at);
        self.columns.iter().enumerate().filter(|(at, found)| !is_taken(*at) && fits(found)).map(|(at, _)| at).collect()
    }

    fn by_name(&mut self, kinds: &[Kind]) -> Result<()> {
        for (part, words, fits) in kinds {
            if self.place(part).is_some() {
                continue;
            }
            let column = |at: &usize| self.columns.get(*at);
            let rank = |at: &usize| rank(column(at)?.name.as_deref()?, words);
            let mut ranked = self.free(fits);
            ranked.retain(|at| rank(at).is_some());
            ranked.sort_by_key(rank);
            let Some(first) = ranked.first().and_then(column) else { continue };
            if let (Column::Index(_), Some(name)) = (&first.column, &first.name) {
                bail!("more than one column is named {name:?}: say --{part} with a number, from 0");
            }
            if let Some(second) = ranked.get(1).and_then(column) {
                self.doubts
                    .push(format!("{} may be the {part} as well as {}: --{part} decides", second.column, first.column));
            }
            self.found.extend(ranked.first().map(|at| (*part, *at, "by its name")));
        }
        Ok(())
    }

    /// What names do not tell.
    fn by_content(&mut self) {
        let missing: Vec<&'static str> =
            ["user", "item"].into_iter().filter(|part| self.place(part).is_none()).collect();
        // Numbers that may be seconds may be ids as well, if there are not enough others.
        if self.place("timestamp").is_none()
            && let Some(at) = self.free(Candidate::is_like_time).first()
            && self.free(Candidate::may_be_id).iter().filter(|id| *id != at).count() >= missing.len()
        {
            self.found.push(("timestamp", *at, "it holds moments since 1970"));
        }
        let is = |at: usize, what: fn(&Candidate) -> bool| self.columns.get(at).is_some_and(what);
        let mut ids = self.free(Candidate::may_be_id);
        // Few small numbers are an id only if nothing else is; and exports are often sorted by user.
        ids.sort_by_key(|at| is(*at, Candidate::is_scale));
        let mut why = "the next column that may be an id";
        if missing.len() == 2
            && let [first, second, ..] = *ids
            && is(second, Candidate::is_grouped)
            && !is(first, Candidate::is_grouped)
        {
            ids.swap(0, 1);
            why = "the user is what rows are sorted by";
        }
        if !missing.is_empty() && !ids.is_empty() {
            self.doubts.push(format!(
                "{} told by what the columns hold, not by names: {why}. --user and --item decide",
                missing.join(" and ")
            ));
        }
        self.found.extend(missing.into_iter().zip(ids).map(|(part, at)| (part, at, why)));
        let last_id = self.place("user").max(self.place("item"));
        if self.place("rating").is_none() {
            let scales = self.free(|found| found.is_scale() && found.name.is_none());
            let scale = scales.into_iter().find(|at| Some(*at) > last_id);
            self.found.extend(scale.map(|at| ("rating", at, "few different small numbers after the ids")));
        }
    }

    /// A column of times that no run can read is left out, if it can be.
    fn check_times(&mut self) -> Result<()> {
        let Some(time) = self.place("timestamp").and_then(|at| self.columns.get(at)) else { return Ok(()) };
        let (column, values) = (&time.column, &time.values);
        let doubt = if time.share(values.millis) >= MOST {
            format!(
                "{column} looks like milliseconds, and is read as seconds: no harm, only the order of times is used"
            )
        } else if time.share(values.moments + values.numbers - values.finer) >= MOST {
            return Ok(());
        } else {
            let what =
                if values.finer > values.filled / 2 { "micro- or nanoseconds" } else { "no moments that are read" };
            let fix = "write seconds since 1970 or RFC 3339 (2024-05-01T10:00:00Z)";
            // A column of this name is taken for the time whatever the resource says.
            if time.name.as_deref() == Some("timestamp") {
                bail!("{column} holds {what}, so every row would be dropped: {fix}, or rename the column");
            }
            let column = column.clone();
            self.found.retain(|(part, ..)| *part != "timestamp");
            format!(
                "{column} would be the time, but holds {what}, and is left out: {fix}, to measure on the newest rows"
            )
        };
        self.doubts.push(doubt);
        Ok(())
    }

    fn listed(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|found| found.column.to_string()).collect();
        format!("there are {}", columns.join(", "))
    }
}

impl Candidate {
    fn share(&self, count: u64) -> f64 {
        count as f64 / self.values.filled.max(1) as f64
    }

    fn is_numeric(&self) -> bool {
        self.share(self.values.numbers) >= MOST
    }

    /// Not a title, a fraction, a constant, a moment, or the number of the row.
    fn may_be_id(&self) -> bool {
        let Values { filled, different, numbers, whole, spaced, moments, other_dates, steps, .. } = &self.values;
        let is_small = *filled < COUNTED_ROWS_MIN;
        let counts_rows = !is_small && different == filled && self.share(*steps) >= MOST;
        2 * filled >= self.rows.saturating_sub(1).max(1)
            && (*different > 1 || is_small)
            && self.share(numbers - whole) < 0.1
            && self.share(*spaced) < 0.3
            && self.share(moments + other_dates) < 0.5
            && !counts_rows
    }

    fn is_scale(&self) -> bool {
        let Values { different, low, high, .. } = &self.values;
        self.is_numeric() && *different <= SCALE_VALUES_MAX && *low >= 0.0 && *high <= SCALE_HIGH_MAX
    }

    /// Whether equal values stand together.
    fn is_grouped(&self) -> bool {
        let Values { different, changes, filled, .. } = &self.values;
        changes + 1 == *different && 2 * different < *filled
    }

    fn is_like_time(&self) -> bool {
        let Values { moments, seconds, millis, .. } = &self.values;
        self.share(*moments + *seconds) >= MOST || self.share(*millis) >= MOST
    }
}

/// Whether the name says that its numbers are amounts of something that happened.
pub fn is_amount(column: &Column) -> bool {
    matches!(column, Column::Name(name) if rank(name, &[AMOUNTS]).is_some())
}

/// Whether the name says that its numbers are opinions.
pub fn is_opinion(column: &Column) -> bool {
    matches!(column, Column::Name(name) if rank(name, &[OPINIONS]).is_some())
}

/// Whether columns have this name.
pub fn is_known_name(name: &str) -> bool {
    rank(name, &[USERS, ITEMS, OPINIONS, AMOUNTS, TIMES, TITLES, AVAILABLE]).is_some()
}

/// The place of a name among words: that of the whole of it, without `id` and the like, or else of its last word.
fn rank(name: &str, words: &[&str]) -> Option<usize> {
    let place = |word: &str| words.iter().flat_map(|words| words.split(' ')).position(|other| other == word);
    let without_ending = |word: &str| ID_ENDINGS.iter().find_map(|ending| word.strip_suffix(ending)).map(str::to_owned);
    let parts = split_words(name);
    let whole = parts.concat();
    let stem = without_ending(&whole).filter(|stem| !stem.is_empty());
    if let Some(place) = place(&whole).or_else(|| place(&stem?)) {
        return Some(place);
    }
    let mut last = parts.iter().rev().filter(|word| without_ending(word).is_none_or(|stem| !stem.is_empty()));
    let last = if parts.len() > 1 { last.next()? } else { return None };
    let place = place(last).or_else(|| place(&without_ending(last)?));
    place.map(|place| LAST_WORD_RANK + place)
}

/// `lastPlayed_at` is last, played, at.
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
    fn names_are_known_in_the_ways_that_people_write_them() {
        for (words, known) in [
            (USERS, "user_id userId UserID user uid User-ID customer purchasing_customer_id reviewerID memberKey"),
            (ITEMS, "item_id movieId sku ISBN product_id parent_asin track business_id articleNumber"),
            (TIMES, "timestamp ts created_at unixReviewTime last_played boughtAt"),
            (OPINIONS, "rating review_score Stars"),
            (AMOUNTS, "play_count Quantity"),
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
