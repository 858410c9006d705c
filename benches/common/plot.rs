//! Curves as a CSV file and as an SVG picture.

use plotters::{coord::ranged1d::AsRangedCoord, coord::ranged1d::ValueFormatter, prelude::*};
use std::{error::Error, fs, io::Write, path::Path};

/// One point of a curve.
pub(crate) struct Point {
    pub(crate) network: String,
    pub(crate) path: &'static str,
    pub(crate) threads: usize,
    /// What grows: batch, width or depth.
    pub(crate) x: usize,
    pub(crate) batch: usize,
    /// Seconds a step, the best sample.
    pub(crate) seconds: f64,
    /// Seconds that its products take at the FMA peak of as many threads.
    pub(crate) peak_seconds: f64,
    pub(crate) workspace: usize,
    /// Of a plan that keeps the whole batch's state between forward and backward.
    pub(crate) keeping: usize,
}

impl Point {
    fn nanoseconds_a_sample(&self) -> f64 {
        1e9 * self.seconds / self.batch as f64
    }

    fn share(&self) -> f64 {
        self.peak_seconds / self.seconds
    }
}

/// Writes `growth-CURVE.csv` and `growth-CURVE.svg`, a panel for each of time, share and memory.
pub(crate) fn write(folder: &Path, curve: &str, points: &[Point]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut csv = fs::File::create(folder.join(format!("growth-{curve}.csv")))?;
    writeln!(
        csv,
        "{curve},network,path,threads,batch,seconds,ns_per_sample,fma_share,workspace_bytes,keeping_bytes"
    )?;
    for p in points {
        let Point { network, path, threads, x, batch, seconds, workspace, keeping, .. } = p;
        let (ns, share) = (p.nanoseconds_a_sample(), p.share());
        writeln!(
            csv,
            "{x},{network},{path},{threads},{batch},{seconds:.4e},{ns:.2},{share:.4},{workspace},{keeping}"
        )?;
    }
    let file = folder.join(format!("growth-{curve}.svg"));
    let root = SVGBackend::new(&file, (1200, 430)).into_drawing_area();
    root.fill(&WHITE)?;
    let (charts, names) = root.split_vertically(390);
    let panels = charts.split_evenly((1, 3));
    let range = |of: &dyn Fn(&Point) -> f64| {
        let values = points.iter().map(of);
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        (low / 1.5..high * 1.5).log_scale()
    };
    let time: &dyn Fn(&Point) -> f64 = &Point::nanoseconds_a_sample;
    let memory: &dyn Fn(&Point) -> f64 = &|p| p.workspace as f64 / 1024.0;
    panel(&panels[0], (curve, "ns a sample"), points, range(time), time)?;
    panel(&panels[1], (curve, "share of the FMA peak, %"), points, 0.0..100.0, &|p| 100.0 * p.share())?;
    panel(&panels[2], (curve, "workspace, KiB"), points, range(memory), memory)?;
    for (i, (line, style)) in lines(points).into_iter().enumerate() {
        let (x, y) = (40 + 190 * i as i32, 10);
        names.draw(&PathElement::new([(x, y + 6), (x + 16, y + 6)], style))?;
        let name = format!("{}, {} thr.", line[0].network, line[0].threads);
        names.draw(&Text::new(name, (x + 20, y), ("sans-serif", 14)))?;
    }
    root.present()?;
    Ok(())
}

/// One panel: a line for each network and number of threads.
fn panel<Y>(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    (x, title): (&str, &str),
    points: &[Point],
    range: Y,
    of: &dyn Fn(&Point) -> f64,
) -> Result<(), Box<dyn Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let xs = points.iter().map(|p| p.x as f64);
    let most = xs.fold(1.0_f64, f64::max);
    let least = points.iter().map(|p| p.x as f64).fold(most, f64::min);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most * 1.01).log_scale().base(2.0), range)?;
    let plain = |v: &f64| if *v < 10.0 && v.fract() != 0.0 { format!("{v:.2}") } else { format!("{v:.0}") };
    chart
        .configure_mesh()
        .x_desc(x)
        .x_labels(6)
        .y_labels(8)
        .x_label_formatter(&plain)
        .y_label_formatter(&plain)
        .light_line_style(WHITE)
        .draw()?;
    for (line, style) in lines(points) {
        let line = line.iter().map(|p| (p.x as f64, of(p)));
        chart.draw_series(LineSeries::new(line, style).point_size(3))?;
    }
    Ok(())
}

/// The points by line, and how it is drawn: a colour for each network, thick for several threads.
fn lines(points: &[Point]) -> Vec<(Vec<&Point>, ShapeStyle)> {
    let mut networks: Vec<&str> = points.iter().map(|p| p.network.as_str()).collect();
    networks.sort_unstable();
    networks.dedup();
    let mut all = Vec::new();
    let colors = [RGBColor(31, 90, 180), RGBColor(200, 60, 30), RGBColor(40, 130, 60)];
    for (color, network) in colors.iter().zip(networks) {
        let mut line: Vec<&Point> = points.iter().filter(|p| p.network == network).collect();
        line.sort_by_key(|p| (p.threads, p.x));
        for line in line.chunk_by(|a, b| a.threads == b.threads) {
            let width = if line[0].threads == 1 { 1 } else { 3 };
            all.push((line.to_vec(), color.stroke_width(width)));
        }
    }
    all
}
