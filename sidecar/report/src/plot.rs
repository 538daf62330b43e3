//! Plots as inline SVG. Each has a title for screen readers; its numbers are also in a table or
//! caption next to it.

use std::fmt::Write as _;

use crate::text::escaped;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
/// Space for the axis labels.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 28.0;
const MARGIN: f64 = 14.0;
/// Maximum number of drawn points; of more points, every n-th and the last are drawn.
const POINTS_MAX: usize = 500;

/// Linear map from values to pixels.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        let fraction = if span > 0.0 { (value - self.low) / span } else { 0.5 };
        self.from + fraction * (self.to - self.from)
    }
}

fn open(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>")
}

/// A number with few digits, for an axis.
pub fn tick(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e6).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let text = if magnitude >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "\u{2212}")
}

/// A line through the values at x = 1, 2, …
pub fn line(title: &str, values: &[f64]) -> String {
    let finite: Vec<(usize, f64)> = (1..).zip(values).filter(|(_, v)| v.is_finite()).map(|(n, v)| (n, *v)).collect();
    let (low, high) = range(finite.iter().map(|(_, value)| *value));
    let mut svg = open(title, HEIGHT);
    let last = values.len().max(2);
    let x = Scale { low: 1.0, high: last as f64, from: LEFT, to: WIDTH - MARGIN };
    let y = Scale { low, high, from: HEIGHT - BOTTOM, to: MARGIN };
    axes(&mut svg, &y, &[low, f64::midpoint(low, high), high]);
    for n in [1, last.div_ceil(2), last] {
        below(&mut svg, x.at(n as f64), &n.to_string());
    }
    let step = finite.len().div_ceil(POINTS_MAX).max(1);
    let drawn = finite.iter().enumerate().filter(|(i, _)| i.is_multiple_of(step) || i + 1 == finite.len());
    let points: Vec<String> = drawn.map(|(_, (n, v))| format!("{:.1},{:.1}", x.at(*n as f64), y.at(*v))).collect();
    let _ = write!(svg, "<polyline class=\"line\" points=\"{}\"/>", points.join(" "));
    for point in points.iter().filter(|_| points.len() <= 60) {
        if let Some((x, y)) = point.split_once(',') {
            let _ = write!(svg, "<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>");
        }
    }
    svg + "</svg>"
}

fn axes(svg: &mut String, y: &Scale, values: &[f64]) {
    for value in values.iter().filter(|value| value.is_finite()) {
        let at = y.at(*value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - MARGIN,
            LEFT - 6.0,
            at + 4.0,
            tick(*value)
        );
    }
}

/// A label below a plot.
fn below(svg: &mut String, x: f64, text: &str) {
    let y = HEIGHT - 8.0;
    let text = escaped(text);
    let _ = write!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>");
}

/// Minimum and maximum.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A group of two bars: the model and the baseline.
pub struct Pair {
    /// Label below the group.
    pub label: String,
    /// Value of the model.
    pub model: f64,
    /// Value of the baseline.
    pub baseline: f64,
}

/// Groups of two bars.
pub fn pairs(title: &str, pairs: &[Pair]) -> String {
    let high = pairs.iter().flat_map(|p| [p.model, p.baseline]).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let y = Scale { low: 0.0, high: if high > 0.0 { high } else { 1.0 }, from: HEIGHT - BOTTOM, to: MARGIN };
    let mut svg = open(title, HEIGHT);
    axes(&mut svg, &y, &[0.0, y.high / 2.0, y.high]);
    let slot = (WIDTH - LEFT - MARGIN) / pairs.len().max(1) as f64;
    let bar = (slot * 0.36).min(48.0);
    for (n, pair) in pairs.iter().enumerate() {
        let middle = LEFT + slot * (n as f64 + 0.5);
        for (class, value, x) in [("baseline", pair.baseline, middle), ("model", pair.model, middle - bar)] {
            let top = y.at(if value.is_finite() { value.max(0.0) } else { 0.0 });
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{bar:.1}\" height=\"{:.1}\"/>",
                y.from - top
            );
        }
        below(&mut svg, middle, &pair.label);
    }
    svg + "</svg>"
}

/// An estimate with its interval, on an axis that includes zero.
pub fn interval(title: &str, low: f64, estimate: f64, high: f64) -> String {
    let height = 64.0;
    let (min, max) = (low.min(0.0), high.max(0.0));
    let padding = 0.1 * (max - min).max(1e-9);
    let x = Scale { low: min - padding, high: max + padding, from: MARGIN, to: WIDTH - MARGIN };
    let mut svg = open(title, height);
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"6\" y2=\"44\"/><text class=\"tick\" x=\"{0:.1}\" y=\"58\" text-anchor=\"middle\">0</text>",
        x.at(0.0)
    );
    let _ = write!(
        svg,
        "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"25\" y2=\"25\"/><circle class=\"dot\" cx=\"{:.1}\" cy=\"25\" r=\"6\"/>",
        x.at(low),
        x.at(high),
        x.at(estimate)
    );
    svg + "</svg>"
}

/// Values whose maximum is at least this multiple of the minimum have a logarithmic axis.
const LOGARITHMIC_FROM: f64 = 10.0;

/// A point of a scatter plot.
pub struct Dot {
    /// Value on the horizontal axis.
    pub x: f64,
    /// Value on the vertical axis.
    pub y: f64,
}

/// A scatter plot; `name` labels the x axis, which is logarithmic if the values are above 0 and
/// differ by an order of magnitude.
pub fn dots(title: &str, name: &str, dots: &[Dot]) -> String {
    let dots: Vec<&Dot> = dots.iter().filter(|dot| dot.x.is_finite() && dot.y.is_finite()).collect();
    let (left, right) = range(dots.iter().map(|dot| dot.x));
    let (low, high) = range(dots.iter().map(|dot| dot.y));
    let is_logarithmic = left > 0.0 && right >= LOGARITHMIC_FROM * left;
    let position = |x: f64| if is_logarithmic { x.ln() } else { x };
    let x = Scale { low: position(left), high: position(right), from: LEFT + MARGIN, to: WIDTH - 2.0 * MARGIN };
    let y = Scale { low, high, from: HEIGHT - BOTTOM - MARGIN, to: MARGIN };
    let mut svg = open(title, HEIGHT);
    if dots.is_empty() {
        return svg + "</svg>";
    }
    axes(&mut svg, &y, &[low, f64::midpoint(low, high), high]);
    let middle = if is_logarithmic { (left * right).sqrt() } else { f64::midpoint(left, right) };
    for (value, text) in [(left, tick(left)), (middle, name.to_owned()), (right, tick(right))] {
        below(&mut svg, x.at(position(value)), &text);
    }
    for dot in dots {
        let at = (x.at(position(dot.x)), y.at(dot.y));
        let _ = write!(svg, "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>", at.0, at.1);
    }
    svg + "</svg>"
}

/// Values by category, in a column for each category.
pub fn strips(title: &str, values: &[(String, f64)]) -> String {
    let mut categories: Vec<&str> = values.iter().map(|(category, _)| category.as_str()).collect();
    categories.sort_unstable();
    categories.dedup();
    let (low, high) = range(values.iter().map(|(_, value)| *value).filter(|value| value.is_finite()));
    let y = Scale { low, high, from: HEIGHT - BOTTOM - MARGIN, to: MARGIN };
    let mut svg = open(title, HEIGHT);
    axes(&mut svg, &y, &[low, f64::midpoint(low, high), high]);
    let width = (WIDTH - LEFT - MARGIN) / categories.len().max(1) as f64;
    for (column, category) in categories.iter().enumerate() {
        let middle = LEFT + width * (column as f64 + 0.5);
        below(&mut svg, middle, category);
        for (_, value) in values.iter().filter(|(name, value)| name == category && value.is_finite()) {
            let at = y.at(*value);
            let _ = write!(svg, "<circle class=\"dot\" cx=\"{middle:.1}\" cy=\"{at:.1}\" r=\"4\"/>");
        }
    }
    svg + "</svg>"
}

/// Horizontal bars with labels and counts.
pub fn horizontal_bars(title: &str, rows: &[(String, u64, String)]) -> String {
    let row = 26.0;
    let label = 170.0;
    let height = row * rows.len() as f64 + MARGIN;
    let max = rows.iter().map(|(_, n, _)| *n).max().unwrap_or(1).max(1) as f64;
    let mut svg = open(title, height);
    for (n, (name, number, shown)) in rows.iter().enumerate() {
        let top = row * n as f64 + 6.0;
        let width = (WIDTH - label - 130.0) * (*number as f64) / max;
        let _ = write!(
            svg,
            "<text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect class=\"model\" x=\"{label}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"16\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            label - 8.0,
            top + 12.5,
            escaped(name),
            label + width + 8.0,
            top + 12.5,
            escaped(shown)
        );
    }
    svg + "</svg>"
}
