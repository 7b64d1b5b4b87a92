use std::path::Path;

use super::*;

fn check() -> HealthCheck {
    let text = "listeners: [{bind: ':0'}]\nroutes: [{to: up}]\n\
                upstreams: {up: {endpoints: ['10.0.0.1:80'], healthCheck: {http: /, healthy: 2, unhealthy: 3}}}";
    let mut config = gateway_config::parse_text(text, "test.yaml", Path::new("")).unwrap();
    config.upstreams.remove(0).health_check.unwrap()
}

/// The verdicts over checks, written as `+` and `-`: `H` and `U` where one changes, `.` where not.
fn verdicts(from: Health, checks: &str) -> String {
    let (mut judge, check) = (Judge::new(from), check());
    let mut verdict = |passed| match judge.hear(passed, &check) {
        None => '.',
        Some(Health::Healthy) => 'H',
        Some(Health::Unhealthy) => 'U',
        Some(Health::Unknown) => '?',
    };
    checks.chars().map(|check| verdict(check == '+')).collect()
}

#[test]
fn the_first_check_decides() {
    assert_eq!(verdicts(Health::Unknown, "+"), "H");
    assert_eq!(verdicts(Health::Unknown, "-"), "U");
}

#[test]
fn later_it_takes_several_in_a_row() {
    assert_eq!(verdicts(Health::Unknown, "+--+---"), "H.....U");
    assert_eq!(verdicts(Health::Unhealthy, "+-++--"), "...H..");
    assert_eq!(verdicts(Health::Unknown, "+-+-+-+-+-"), "H.........", "flapping changes nothing");
}

#[test]
fn what_is_known_from_before_stays_until_several_say_otherwise() {
    assert_eq!(verdicts(Health::Healthy, "-+--"), "....");
    assert_eq!(verdicts(Health::Healthy, "---"), "..U");
}
