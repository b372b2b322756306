// SPDX-License-Identifier: MIT

//! Write rows with the official client and print each as a line of JSON.
//!
//! usage: rustclient CONF ROWS ACKED
//!
//! The arguments and the output are those of write.py in testutil/pyclient; the
//! package testutil/client says what they mean.

use std::io::{Read, Write, stdin, stdout};
use std::time::{Duration, Instant};

use questdb::ingress::{AckLevel, Buffer, Sender, TimestampMicros, TimestampNanos};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const START: i64 = 1_700_000_000_000_000_000;
const FRAME_ROWS: i64 = 20;
const PATIENCE: Duration = Duration::from_secs(20);

enum Value {
    Symbol(String),
    Varchar(String),
    Bool(bool),
    Long(i64),
    Double(f64),
    Micros(i64),
    Nanos(i64),
}

struct Row {
    table: &'static str,
    at: i64,
    values: Vec<(&'static str, Option<Value>)>,
}

/// The nth row. Nulls, late columns and new symbols are frequent.
fn row(n: i64) -> Row {
    let at = START + n * 1_234_567_891;
    let (table, values) = match n % 4 {
        2 => ("events", event(n, at)),
        3 if n > 100 => ("disk", disk(n)),
        _ => ("cpu", cpu(n)),
    };
    Row { table, at, values }
}

fn cpu(n: i64) -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("host", Some(Value::Symbol(format!("host-{}", n % 7)))),
        (
            "zone",
            (n % 3 == 0).then(|| Value::Symbol("zürich, 2".into())),
        ),
        ("row_id", Some(Value::Long(n))),
        (
            "usage",
            (n % 5 != 0).then_some(Value::Double(n as f64 / 8.0)),
        ),
        ("busy", Some(Value::Bool(n % 2 == 0))),
        (
            "note",
            (n % 4 != 0).then(|| Value::Varchar(format!("line\none \"{n}\""))),
        ),
    ]
}

fn event(n: i64, at: i64) -> Vec<(&'static str, Option<Value>)> {
    let kind = if n % 9 == 0 {
        String::new()
    } else {
        format!("kind-{}", n % 300)
    };
    vec![
        ("kind", Some(Value::Symbol(kind))),
        ("row_id", Some(Value::Long(n))),
        (
            "text",
            Some(Value::Varchar(if n % 5 == 0 { "日本" } else { "" }.into())),
        ),
        (
            "big",
            (n > 40 && n % 7 != 0).then_some(Value::Long((1 << 62) + n)),
        ),
        ("seen", Some(Value::Micros(at / 1000))),
        ("exact", (n % 3 == 0).then_some(Value::Nanos(at))),
    ]
}

fn disk(n: i64) -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("host", Some(Value::Symbol(format!("host-{}", n % 7)))),
        ("device", Some(Value::Symbol(format!("sd{}", n / 60)))),
        ("row_id", Some(Value::Long(n))),
        ("used", Some(Value::Double(1.0 / n as f64))),
        ("ok", Some(Value::Bool(n % 8 == 3))),
    ]
}

impl Row {
    fn put(&self, buffer: &mut Buffer) -> questdb::Result<()> {
        buffer.table(self.table)?;
        for (name, value) in &self.values {
            match value {
                None => continue,
                Some(Value::Symbol(v)) => buffer.symbol(*name, v)?,
                Some(Value::Varchar(v)) => buffer.column_str(*name, v)?,
                Some(Value::Bool(v)) => buffer.column_bool(*name, *v)?,
                Some(Value::Long(v)) => buffer.column_i64(*name, *v)?,
                Some(Value::Double(v)) => buffer.column_f64(*name, *v)?,
                Some(Value::Micros(v)) => buffer.column_ts(*name, TimestampMicros::new(*v))?,
                Some(Value::Nanos(v)) => buffer.column_ts(*name, TimestampNanos::new(*v))?,
            };
        }
        buffer.at(TimestampNanos::new(self.at))
    }

    fn json(&self) -> String {
        let values: Vec<String> = self
            .values
            .iter()
            .map(|(name, value)| {
                let pair = value.as_ref().map_or("null".into(), Value::json);
                format!("{}:{pair}", quote(name))
            })
            .collect();
        let table = quote(self.table);
        format!(
            "{{\"table\":{table},\"at\":{},\"values\":{{{}}}}}",
            self.at,
            values.join(",")
        )
    }
}

impl Value {
    fn json(&self) -> String {
        match self {
            Value::Symbol(v) => format!("[\"symbol\",{}]", quote(v)),
            Value::Varchar(v) => format!("[\"varchar\",{}]", quote(v)),
            Value::Bool(v) => format!("[\"bool\",{v}]"),
            Value::Long(v) => format!("[\"long\",{v}]"),
            Value::Double(v) => format!("[\"double\",{v}]"),
            Value::Micros(v) => format!("[\"timestamp\",{}]", v * 1000),
            Value::Nanos(v) => format!("[\"timestamp\",{v}]"),
        }
    }
}

fn quote(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

fn write(sender: &mut Sender, rows: i64) -> Outcome<()> {
    let mut buffer = sender.new_buffer();
    for n in 0..rows {
        let row = row(n);
        row.put(&mut buffer)?;
        println!("{}", row.json());
        if (n + 1) % FRAME_ROWS == 0 || n + 1 == rows {
            sender.flush(&mut buffer)?;
        }
    }
    Ok(())
}

/// Wait until the server has acknowledged the first frames. The client's own
/// wait is for all of them.
fn wait_acked(sender: &mut Sender, frames: u64) -> Outcome<()> {
    let start = Instant::now();
    while sender.acked_fsn()?.map_or(0, |fsn| fsn + 1) < frames {
        if start.elapsed() > PATIENCE {
            return Err(format!(
                "acknowledged {:?}, want {frames} frames",
                sender.acked_fsn()?
            )
            .into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    let (conf, rows, acked) = (&args[1], args[2].parse()?, &args[3]);
    let mut sender = Sender::from_conf(conf)?;
    write(&mut sender, rows)?;
    match acked.as_str() {
        "all" => sender.wait(AckLevel::Ok, PATIENCE)?,
        frames => wait_acked(&mut sender, frames.parse()?)?,
    }
    println!("{{\"rows\":{rows}}}");
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new())?; // whoever wants us killed does it here
    Ok(())
}
