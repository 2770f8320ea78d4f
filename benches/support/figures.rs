//! Medians, percentiles and ratios, and the table they are printed in.

use std::time::Duration;

/// Several measurements of one thing.
#[derive(Debug, Clone, Default)]
pub struct Sample(pub Vec<f64>);

impl Sample {
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The median, and between which values the measurements lie.
    pub fn show(&self, digits: usize) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median = self.median();
        if self.0.len() == 1 {
            return format!("{median:.digits$}");
        }
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// Each measurement over the one that was taken right after it.
pub fn ratios(ours: &Sample, ceiling: &Sample) -> Sample {
    let pairs = ours.0.iter().zip(&ceiling.0);
    Sample(pairs.map(|(ours, ceiling)| ours / ceiling).collect())
}

/// What a ratio or a time should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Told for comparison.
    None,
}

impl Goal {
    pub fn show(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound}"),
            Self::AtMost(bound) => format!("≤ {bound}"),
            Self::None => "–".to_owned(),
        }
    }

    pub fn verdict(self, value: f64) -> String {
        let met = match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::None => return "–".to_owned(),
        };
        if met { "met" } else { "missed" }.to_owned()
    }
}

/// The value below which this share of the sorted durations lies, in milliseconds.
pub fn percentile(durations: &mut [Duration], share: f64) -> f64 {
    durations.sort_unstable();
    let rank = (durations.len() as f64 * share).ceil() as usize;
    let at = rank.clamp(1, durations.len()) - 1;
    durations[at].as_secs_f64() * 1e3
}

/// A table in Markdown, its columns aligned for whoever reads it as text.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "{cells:?}");
        self.rows.push(cells);
    }

    pub fn print(&self, title: &str) {
        println!("### {title}\n");
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            println!("| {} |", cells.join(" | "));
        };
        line(&self.rows[0]);
        line(
            &widths
                .iter()
                .map(|width| "-".repeat(*width))
                .collect::<Vec<_>>(),
        );
        for row in &self.rows[1..] {
            line(row);
        }
        println!();
    }
}
