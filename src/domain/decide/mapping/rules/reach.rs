//! Rules that no certificate can reach, because another rule always decides first.
//!
//! Every finding is certain, but not every unreachable rule is found. A rule is covered by an earlier one when each
//! part of the earlier rule certainly matches whatever matches some part of the covered rule.

use super::CompiledRule;
use crate::domain::api::{MappingState, Precedence};

/// The limit of comparisons: up to 1000 rules have 32 parts each, and each pair may have to be compared. One step takes
/// some ten nanoseconds.
const BUDGET: usize = 500_000;

/// The rules in force that no certificate can reach, each with the rule that decides in its place, by their indices.
pub fn unreachable(rules: &[CompiledRule], precedence: Precedence) -> Vec<(usize, usize)> {
    let mut budget = BUDGET;
    let in_force = || rules.iter().enumerate().filter(|(_, rule)| rule.state == MappingState::Enabled);
    let mut found = Vec::new();
    for (at, rule) in in_force() {
        let before = in_force()
            .filter(|(other_at, other)| *other_at != at && comes_before(other, *other_at, rule, at, precedence));
        for (other_at, other) in before {
            match covers(other, rule, &mut budget) {
                Some(true) => {
                    found.push((at, other_at));
                    break;
                }
                Some(false) => {}
                None => return found,
            }
        }
    }
    found
}

/// Whether `other` is tried before `rule`.
fn comes_before(other: &CompiledRule, other_at: usize, rule: &CompiledRule, at: usize, precedence: Precedence) -> bool {
    let denies = |rule: &CompiledRule| rule.identity.is_none();
    match precedence {
        Precedence::SpecificFirst => other_at < at,
        Precedence::DenyFirst => match (denies(other), denies(rule)) {
            (true, false) => true,
            (false, true) => false,
            _ => other_at < at,
        },
    }
}

/// Whether `wide` matches whatever `narrow` matches; `None` once the budget is spent.
fn covers(wide: &CompiledRule, narrow: &CompiledRule, budget: &mut usize) -> Option<bool> {
    for part in &wide.parts {
        let mut covered = false;
        for other in &narrow.parts {
            let cost = if part.source == other.source { other.written.len() / 32 } else { 0 };
            *budget = budget.checked_sub(cost.saturating_add(1))?;
            if part.covers(other) {
                covered = true;
                break;
            }
        }
        if !covered {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::api::{Field, Report};
    use crate::domain::policy::compile::mapping_section;

    fn found(precedence: &str, rules: serde_json::Value) -> Vec<(usize, usize)> {
        let spec = serde_json::from_value(json!({"precedence": precedence, "rules": rules})).unwrap();
        let mut report = Report::default();
        let mapping = mapping_section(&Field::root("mapping"), &spec, &mut report);
        assert_eq!(report, Report::default());
        unreachable(&mapping.rules, mapping.precedence)
    }

    fn rule(name: &str, allow: bool, parts: &[(&str, &str)]) -> serde_json::Value {
        let part = |(field, value): &(&str, &str)| match field.split_once('.') {
            Some((field, attribute)) => json!({"field": field, "attribute": attribute, "value": value}),
            None => json!({"field": field, "value": value}),
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        match allow {
            true => json!({"name": name, "action": "Allow", "where": parts, "identity": {"user": "u"}}),
            false => json!({"name": name, "action": "Deny", "where": parts}),
        }
    }

    #[test]
    fn what_a_wider_rule_takes_is_out_of_reach() {
        let wide = || rule("wide", true, &[("Subject.O", "Conto*")]);
        let narrow = || rule("narrow", true, &[("Subject.O", "Contoso"), ("Subject.OU", "Sales")]);
        assert_eq!(found("SpecificFirst", json!([wide(), narrow()])), [(1, 0)]);
        assert_eq!(found("SpecificFirst", json!([narrow(), wide()])), []);
        let issuer = rule("issuer", true, &[("Issuer.O", "Conto*")]);
        assert_eq!(found("SpecificFirst", json!([issuer, narrow()])), [], "another name");
        let mut off = wide();
        off["state"] = "Disabled".into();
        assert_eq!(found("SpecificFirst", json!([off, narrow()])), [], "not in force");
        let both = rule("both", true, &[("Subject.O", "*"), ("Subject.OU", "Sal*")]);
        assert_eq!(found("SpecificFirst", json!([both, narrow()])), [(1, 0)]);
    }

    #[test]
    fn where_denials_come_first_they_are_reached() {
        let wide = || rule("wide", true, &[("DNS", "*")]);
        let deny = || rule("deny", false, &[("DNS", "*.evil.example")]);
        let allow = || rule("allow", true, &[("DNS", "a.evil.example")]);
        assert_eq!(found("SpecificFirst", json!([wide(), deny()])), [(1, 0)]);
        assert_eq!(found("DenyFirst", json!([wide(), deny()])), []);
        assert_eq!(found("DenyFirst", json!([allow(), deny()])), [(0, 1)]);
    }

    #[test]
    fn the_work_has_a_bound() {
        let rules: Vec<_> =
            (0..1000).map(|n| rule(&format!("r{n}"), false, &[("DNS", format!("{n}.example").as_str()); 32])).collect();
        assert_eq!(found("SpecificFirst", rules.into()), []);
    }
}
