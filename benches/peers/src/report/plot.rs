//! A plot with a logarithmic scale as SVG, in a few lines: axes, lines with marks, a name at each line's end. Knows
//! nothing of what is plotted.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
/// Apart for the colour-blind too (Okabe and Ito).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a6a00"];
/// Names at line ends stay this far apart.
const APART: f64 = 16.0;

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    /// (x, y) in the axes' units; y above zero.
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot; y is logarithmic.
pub(super) struct Plot<'p> {
    pub(super) title: &'p str,
    pub(super) x_name: &'p str,
    /// Where the x axis is marked, and with what.
    pub(super) x_marks: Vec<(f64, String)>,
    pub(super) x_logarithmic: bool,
    /// What a power of ten on the y axis reads as.
    pub(super) y_mark: fn(f64) -> String,
    pub(super) lines: Vec<Line>,
}

/// From a value to a place.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        let of = |value: f64| if self.logarithmic { value.log10() } else { value };
        let share = (of(value) - of(self.low)) / (of(self.high) - of(self.low)).max(f64::EPSILON);
        self.from + share * (self.to - self.from)
    }
}

impl Plot<'_> {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (low, high) = ends(&mut points().map(|(_, y)| *y));
        let (left, right) = ends(&mut self.x_marks.iter().map(|(x, _)| *x));
        let x = Scale {
            low: left,
            high: right,
            from: LEFT + 20.0,
            to: WIDTH - RIGHT - 20.0,
            logarithmic: self.x_logarithmic,
        };
        let (bottom, top) = (low.log10().floor(), high.log10().ceil());
        let y = Scale {
            low: 10_f64.powf(bottom),
            high: 10_f64.powf(top),
            from: HEIGHT - BOTTOM,
            to: TOP,
            logarithmic: true,
        };
        let mut svg = self.frame(&x, &y, bottom as i32..=top as i32);
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            let places = || line.points.iter().map(|(at, value)| (x.place(*at), y.place(*value)));
            let path: Vec<String> = places().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
            for (x, y) in places() {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
                );
            }
        }
        self.names(&mut svg, &x, &y);
        svg.push_str("</svg>\n");
        svg
    }

    fn frame(&self, x: &Scale, y: &Scale, powers: std::ops::RangeInclusive<i32>) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"28\" font-size=\"16\" font-weight=\"bold\" fill=\"#222222\">{}</text>\n",
            self.title
        );
        let (left, right) = (LEFT, WIDTH - RIGHT);
        for power in powers {
            let value = 10_f64.powi(power);
            let at = y.place(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>"
            );
            let mark = (self.y_mark)(value);
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{mark}</text>",
                left - 8.0,
                at + 4.0
            );
        }
        for (value, mark) in &self.x_marks {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444444\">{mark}</text>",
                x.place(*value),
                HEIGHT - BOTTOM + 22.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
            f64::midpoint(left, right),
            HEIGHT - 12.0,
            self.x_name
        );
        svg
    }

    /// Each line's name at its end, pushed apart where two would overlap.
    fn names(&self, svg: &mut String, x: &Scale, y: &Scale) {
        let mut ends: Vec<(f64, f64, &str, &str)> = Vec::new();
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            let Some((at, value)) = line.points.last() else { continue };
            ends.push((y.place(*value), x.place(*at), line.name.as_str(), colour));
        }
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (wanted, at, name, colour) in ends {
            let crowding = taken.iter().filter(|(_, x)| (x - at).abs() < RIGHT);
            let lowest = crowding.map(|(y, _)| y + APART).fold(f64::NEG_INFINITY, f64::max);
            let place = wanted.max(lowest);
            taken.push((place, at));
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" font-weight=\"bold\">{name}</text>",
                at + 9.0,
                place + 4.0
            );
        }
    }
}
