//! What a change of the filter changed: two runs of the same request, for a person to compare. Pure.

use super::desk::{Recorded, Seen};
use crate::commands::demo::wire::Head;
use crate::output;

/// Lines of a body that are shown.
const MAX_BODY_LINES: usize = 20;
/// Characters of one line that are shown.
const MAX_LINE_CHARS: usize = 160;
/// Headers whose value is another each time.
const VARYING: [&str; 4] = ["date", "x-request-id", "traceparent", "x-envoy-upstream-service-time"];

/// The request, what came of it, and how that differs from before.
pub(super) fn shown(request: &Recorded, before: Option<&Seen>, now: &Seen) -> String {
    let verdict = |seen: &Seen| {
        let status = seen.response.start_line().split(' ').nth(1).unwrap_or("?").to_owned();
        match seen.received.len() {
            0 => format!("{status}, nothing reached the origin"),
            1 => format!("{status}, 1 request reached the origin"),
            count => format!("{status}, {count} requests reached the origin"),
        }
    };
    let millis = |seen: &Seen| format!("{:.1} ms", seen.took.as_secs_f64() * 1_000.0);
    let mut text = format!("  {}\n", request.head.start_line());
    let Some(before) = before else {
        text += &format!("    verdict   {}\n", verdict(now));
        text += &lines("response", &headers(&now.response, &[]), "");
        text += &lines("origin saw", &origin(now), "");
        return text + &format!("    took      {}\n", millis(now));
    };
    let (was, is) = (verdict(before), verdict(now));
    let mut changes = String::new();
    if was != is {
        changes += &format!("    verdict   {was}  ->  {is}\n");
    }
    changes += &changed("response", &headers(&before.response, &VARYING), &headers(&now.response, &VARYING));
    changes += &changed("origin saw", &origin(before), &origin(now));
    let (old, new) = (body_lines(before, now), body_lines(now, before));
    changes += &changed("body", &old, &new);
    if changes.is_empty() {
        changes = format!("    no change: {is}\n");
    }
    text + &changes + &format!("    took      {} (before {})\n", millis(now), millis(before))
}

/// Lines that only one of them has. Echoes of the request are the origin's part of a body, and told there.
fn body_lines(of: &Seen, other: &Seen) -> Vec<String> {
    if of.body == other.body {
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(&of.body) else {
        return vec![format!("{} that are no text", output::size(of.body.len()))];
    };
    let is_echo = |line: &str| of.received.iter().any(|head| head.text.lines().any(|sent| sent == line));
    text.lines().filter(|line| !is_echo(line)).map(str::to_owned).collect()
}

fn headers(head: &Head, varying: &[&str]) -> Vec<String> {
    let of_connection = ["connection", "content-length", "transfer-encoding"];
    let name = |line: &str| line.split(':').next().unwrap_or_default().trim().to_lowercase();
    let lines = head.text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty());
    let kept =
        lines.filter(|line| !varying.contains(&&*name(line)) && !of_connection.contains(&&*name(line)));
    kept.map(str::to_owned).collect()
}

fn origin(seen: &Seen) -> Vec<String> {
    let of_head = |head: &Head| {
        let start = head.start_line().trim_end().to_owned();
        std::iter::once(start).chain(headers(head, &VARYING)).collect::<Vec<_>>()
    };
    seen.received.iter().flat_map(of_head).collect()
}

fn changed(heading: &str, before: &[String], now: &[String]) -> String {
    let missing = |of: &[String], from: &[String]| {
        let mut rest = from.to_vec();
        let mut gone = Vec::new();
        for line in of {
            match rest.iter().position(|other| other == line) {
                Some(place) => drop(rest.remove(place)),
                None => gone.push(line.clone()),
            }
        }
        gone
    };
    let heading_once = lines(heading, &missing(before, now), "- ");
    let heading = if heading_once.is_empty() { heading } else { "" };
    heading_once + &lines(heading, &missing(now, before), "+ ")
}

fn lines(heading: &str, lines: &[String], sign: &str) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().take(MAX_BODY_LINES).enumerate() {
        let heading = if index == 0 { heading } else { "" };
        let short: String = line.chars().take(MAX_LINE_CHARS).filter(|c| !c.is_control()).collect();
        text += &format!("    {heading:<10}{}{sign}{short}\n", if heading.len() >= 10 { " " } else { "" });
    }
    if lines.len() > MAX_BODY_LINES {
        text += &format!("    {:<10}{sign}... and {} more\n", "", lines.len() - MAX_BODY_LINES);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn head(text: &str) -> Head {
        Head { text: text.replace('\n', "\r\n") }
    }

    fn seen(response: &str, body: &str, received: &[&str]) -> Seen {
        Seen {
            response: head(response),
            body: body.into(),
            received: received.iter().map(|text| head(text)).collect(),
            took: Duration::from_millis(2),
        }
    }

    fn request() -> Recorded {
        Recorded { head: head("GET /a HTTP/1.1\nhost: x\n"), body: Vec::new() }
    }

    #[test]
    fn verdict_headers_and_body_are_told_where_they_differ() {
        let passed = seen(
            "HTTP/1.1 200 OK\ndate: monday\nx-a: 1\nx-same: 1\ncontent-length: 9\n",
            "hello\nGET /a HTTP/1.1\n",
            &["GET /a HTTP/1.1\nx-user: ann\nx-request-id: 1\n"],
        );
        let refused =
            seen("HTTP/1.1 401 Unauthorized\ndate: tuesday\nx-a: 2\nx-same: 1\n", "who are you?\n", &[]);
        let text = shown(&request(), Some(&passed), &refused);
        let expected = "  GET /a HTTP/1.1
    verdict   200, 1 request reached the origin  ->  401, nothing reached the origin
    response  - x-a: 1
              + x-a: 2
    origin saw - GET /a HTTP/1.1
              - x-user: ann
    body      - hello
              + who are you?
    took      2.0 ms (before 2.0 ms)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_another_each_time_is_no_change() {
        let one = seen("HTTP/1.1 200 OK\ndate: monday\n", "x", &["GET / HTTP/1.1\nx-request-id: 1\n"]);
        let two = seen("HTTP/1.1 200 OK\ndate: friday\n", "x", &["GET / HTTP/1.1\nx-request-id: 2\n"]);
        assert!(shown(&request(), Some(&one), &two).contains("no change: 200, 1 request reached the origin"));
        assert!(shown(&request(), None, &two).contains("response  date: friday"));
    }
}
