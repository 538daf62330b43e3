//! Numbers in text.

use std::str::FromStr;

use crate::dropped::DropReason;

/// Digits after a comma that may be a separator of thousands.
const THOUSANDS_DIGITS: usize = 3;

/// Parses a number, with a decimal point or a decimal comma. `1,234` has two meanings and is
/// rejected.
pub(crate) fn parse<T: FromStr>(text: &str) -> Result<T, DropReason> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let Some((whole, fraction)) = text.split_once(',') else { return Err(DropReason::NotANumber) };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole.trim_start_matches(['-', '+'])) || !is_digits(fraction) {
        return Err(DropReason::NotANumber);
    }
    if fraction.len() == THOUSANDS_DIGITS {
        return Err(DropReason::AmbiguousComma);
    }
    format!("{whole}.{fraction}").parse().map_err(|_| DropReason::NotANumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_commas_are_read_and_separators_of_thousands_are_not_guessed() {
        for (text, number) in
            [("4.5", 4.5), ("4,5", 4.5), ("-0,25", -0.25), ("3,0", 3.0), ("1e3", 1e3), ("1,2345", 1.2345)]
        {
            assert_eq!(parse::<f32>(text), Ok(number), "{text}");
        }
        assert_eq!(parse::<f32>("1,234"), Err(DropReason::AmbiguousComma));
        for text in ["", ",5", "5,", "1,2,3", "1.234,5", "a,b", "--1,5"] {
            assert_eq!(parse::<f32>(text), Err(DropReason::NotANumber), "{text}");
        }
    }
}
