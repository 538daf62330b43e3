//! Words for the availability of an item, as shops and databases export them.

/// Words that are read as false and as true. Case does not matter, and `_` and `-` are spaces.
const FALSE: [&str; 14] = [
    "false",
    "f",
    "no",
    "n",
    "off",
    "out of stock",
    "outofstock",
    "sold out",
    "unavailable",
    "not available",
    "disabled",
    "inactive",
    "discontinued",
    "deleted",
];
const TRUE: [&str; 14] = [
    "true",
    "t",
    "yes",
    "y",
    "on",
    "in stock",
    "instock",
    "available",
    "limited availability",
    "enabled",
    "active",
    "preorder",
    "pre order",
    "backorder",
];

/// Whether an item with this value is available; `None` for an unknown word. A number is a stock.
pub(crate) fn parse(text: &str) -> Option<bool> {
    if let Ok(stock) = super::number::parse::<f64>(text) {
        return is_in_stock(stock);
    }
    let word = text.to_lowercase().replace(['_', '-'], " ");
    if FALSE.contains(&word.as_str()) {
        return Some(false);
    }
    TRUE.contains(&word.as_str()).then_some(true)
}

/// Whether a stock makes an item available; `None` for NaN.
pub(crate) fn is_in_stock(stock: f64) -> Option<bool> {
    (!stock.is_nan()).then_some(stock > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_exports_are_known() {
        for text in ["False", "f", "NO", "n", "0", "0.0", "-3", "off", "out_of_stock", "Out of Stock", "sold-out"] {
            assert_eq!(parse(text), Some(false), "{text}");
        }
        for text in ["TRUE", "t", "yes", "Y", "1", "12", "2,5", "on", "in_stock", "preorder", "pre-order"] {
            assert_eq!(parse(text), Some(true), "{text}");
        }
        for text in ["maybe", "soon", "nan"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
