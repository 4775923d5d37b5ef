//! Describes the machine of the measurement.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

/// Returns a description of the machine and its disk.
pub(crate) fn describe(data_dir: &Path) -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "On {cores} cores ({}), Linux {}, which the load generator shares; data in {},\n\
         where a flush to the disk (fdatasync of 8 KiB) takes {:.2} ms (median of 100).",
        model.map_or("unknown", |(_, model)| model),
        kernel.trim(),
        data_dir.display(),
        flush(data_dir)?.as_secs_f64() * 1_000.0,
    ))
}

fn flush(data_dir: &Path) -> Result<Duration> {
    use std::io::Write as _;
    fs::create_dir_all(data_dir)?;
    let path = data_dir.join("flush");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.write_all(&[1; 8192])?;
        let started = std::time::Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(path)?;
    times.sort();
    Ok(times[50])
}
