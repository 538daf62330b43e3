//! What a reader did not understand, as a bounded list for reports.

/// Max entries of a list.
const ENTRIES_MAX: usize = 16;
/// Max bytes of an entry; a longer one is truncated.
const ENTRY_BYTES_MAX: usize = 128;

/// Fields, and values as `field: value`. Entries beyond [`ENTRIES_MAX`] are dropped.
#[derive(Debug, Default)]
pub(crate) struct UnknownValues(Vec<String>);

impl UnknownValues {
    /// Adds a value that this build does not know, if there is one.
    pub(crate) fn add(&mut self, field: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(format!("{field}: {value}"));
        }
    }

    /// Adds a field that this build does not know.
    pub(crate) fn add_field(&mut self, field: String) {
        self.push(field);
    }

    pub(crate) fn into_list(self) -> Vec<String> {
        self.0
    }

    fn push(&mut self, mut entry: String) {
        if self.0.len() == ENTRIES_MAX {
            return;
        }
        if entry.len() > ENTRY_BYTES_MAX {
            entry.truncate(entry.floor_char_boundary(ENTRY_BYTES_MAX - "…".len()));
            entry.push('…');
        }
        self.0.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded() {
        let mut unknown = UnknownValues::default();
        unknown.add("role", None);
        unknown.add("role", Some("canary"));
        (0..100).for_each(|_| unknown.add_field("ü".repeat(1000)));
        let list = unknown.into_list();
        assert_eq!((list.len(), list[0].as_str()), (ENTRIES_MAX, "role: canary"));
        assert!(list.iter().all(|entry| entry.len() <= ENTRY_BYTES_MAX));
        assert_eq!(list[1], format!("{}…", "ü".repeat(62)));
    }
}
