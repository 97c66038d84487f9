//! `CertificateMapping` objects, and the mapping section of a policy.

use crate::domain::decide::mapping::compiled::CompiledMapping;
use std::sync::Arc;

use super::certificate_name::{certificate_name, inline_public_key};
use super::identity::identity;
use super::metadata::{metadata, shown};
use super::{Field, MAX_ONE_TO_ONE, MAX_RULE_PARTS, MAX_RULES, MAX_TEXT, Report};
use crate::domain::api::{self, Case, Kind, MappingSpec, ObjectMeta, RuleAction, RuleField, RulePart};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::identity::header_value_problem;
use crate::domain::decide::mapping::rules::{
    CompiledRule, CompiledRulePart, MappingSection, NameKind, OneToOneEntry, OneToOneList,
};
use certgate_x509::AttributeType;

/// Compiles a `CertificateMapping`.
pub fn certificate_mapping(meta: &ObjectMeta, spec: &api::CertificateMappingSpec) -> CompiledMapping {
    let mut report = Report::default();
    metadata(Kind::CertificateMapping, meta, &mut report);
    let field = Field::root("spec");
    let key = certificate_name(&field.child("certificate"), &spec.certificate, &mut report);
    let identity = identity(&field.child("identity"), &spec.identity, &mut report);
    let public_key = spec.certificate.inline.as_deref().and_then(inline_public_key);
    let errors = report.errors;
    CompiledMapping {
        key,
        public_key,
        identity: if errors.is_empty() { identity } else { empty_identity() },
        state: spec.state,
        errors,
    }
}

fn empty_identity() -> Identity {
    Identity { user: String::new(), groups: Vec::new(), uid: None, extra: std::collections::BTreeMap::new() }
}

/// Compiles the mapping section of a policy. After an error it is not whole and must not be used.
pub fn mapping(field: &Field<'_>, spec: &MappingSpec, report: &mut Report) -> MappingSection {
    if spec.one_to_one.is_empty() && spec.selector.is_none() && spec.rules.is_empty() {
        report.error(field, "nothing is mapped: give oneToOne, selector or rules, or leave mapping out");
    }
    let mut mapping = MappingSection {
        precedence: spec.precedence,
        one_to_one: Default::default(),
        selector: spec.selector.clone(),
        rules: Vec::with_capacity(spec.rules.len()),
    };
    one_to_one(&field.child("oneToOne"), spec, &mut mapping.one_to_one, report);
    rules(&field.child("rules"), spec, &mut mapping, report);
    mapping
}

fn one_to_one(field: &Field<'_>, spec: &MappingSpec, list: &mut OneToOneList, report: &mut Report) {
    report.cap(field, spec.one_to_one.len(), MAX_ONE_TO_ONE);
    for (at, entry) in spec.one_to_one.iter().enumerate() {
        let field = field.at(at);
        let name = field.child("certificate");
        let identity = Arc::new(identity(&field.child("identity"), &entry.identity, report));
        let Some(key) = certificate_name(&name, &entry.certificate, report) else { continue };
        if let Err(other) = list.insert(OneToOneEntry { index: at, key, identity, state: entry.state }) {
            let message = format_args!("the same certificate as oneToOne[{other}], with another identity or state");
            report.error(&name, message);
        }
    }
}

fn rules(field: &Field<'_>, spec: &MappingSpec, mapping: &mut MappingSection, report: &mut Report) {
    report.cap(field, spec.rules.len(), MAX_RULES);
    let mut names = std::collections::BTreeMap::new();
    for (at, rule) in spec.rules.iter().enumerate() {
        let field = field.at(at);
        let name = field.child("name");
        match header_value_problem(&rule.name) {
            Some(problem) => report.error(&name, format_args!("{} {problem}", shown(&rule.name))),
            None if rule.name.len() > MAX_TEXT => report.error(&name, "the name is too long"),
            None => {}
        }
        if let Some(first) = names.insert(rule.name.as_str(), at) {
            report.error(&name, format_args!("rules[{first}] has the same name, {}", shown(&rule.name)));
        }
        let identity_field = field.child("identity");
        let identity = match (rule.action, &rule.identity) {
            (RuleAction::Allow, Some(spec)) => Some(Arc::new(identity(&identity_field, spec, report))),
            (RuleAction::Deny, None) => None,
            (RuleAction::Allow, None) => {
                report.error(&identity_field, "a rule that allows needs an identity");
                None
            }
            (RuleAction::Deny, Some(_)) => {
                report.error(&identity_field, "a rule that denies has no identity");
                None
            }
        };
        let parts_field = field.child("where");
        report.cap(&parts_field, rule.parts.len(), MAX_RULE_PARTS);
        if rule.parts.is_empty() {
            report.error(&parts_field, "the rule is empty: it would match every certificate");
        }
        let parts = rule
            .parts
            .iter()
            .enumerate()
            .filter_map(|(at, spec)| part(&parts_field.at(at), spec, rule.action, report))
            .collect();
        mapping.rules.push(CompiledRule { name: rule.name.as_str().into(), parts, identity, state: rule.state });
    }
}

fn part(field: &Field<'_>, spec: &RulePart, action: RuleAction, report: &mut Report) -> Option<CompiledRulePart> {
    let attribute_field = field.child("attribute");
    let attribute = |report: &mut Report| match &spec.attribute {
        Some(text) => report.take(&attribute_field, text.parse::<AttributeType>()),
        None => {
            report.error(&attribute_field, "an attribute is wanted, such as CN, O or OU");
            None
        }
    };
    let none = |source: NameKind, report: &mut Report| match &spec.attribute {
        Some(_) => {
            report.error(&attribute_field, "only fields Subject and Issuer have attributes");
            None
        }
        None => Some(source),
    };
    let source = match spec.field {
        RuleField::Subject => attribute(report).map(NameKind::Subject),
        RuleField::Issuer => attribute(report).map(NameKind::Issuer),
        RuleField::Uri => none(NameKind::Uri, report),
        RuleField::Dns => none(NameKind::Dns, report),
        RuleField::Email => none(NameKind::Email, report),
        RuleField::UserPrincipalName => none(NameKind::UserPrincipalName, report),
    };
    let value = field.child("value");
    if spec.value.len() > MAX_TEXT {
        report.error(&value, format_args!("{} bytes: at most {MAX_TEXT} are allowed", spec.value.len()));
        return None;
    }
    if spec.value.chars().any(char::is_control) {
        report.error(&value, format_args!("{} holds a control character (a line break, perhaps)", shown(&spec.value)));
        return None;
    }
    if spec.field == RuleField::Dns && spec.value.ends_with('.') {
        report.error(&value, format_args!("{}: write DNS names without the last dot", shown(&spec.value)));
        return None;
    }
    if matches!(spec.field, RuleField::Uri | RuleField::Dns | RuleField::Email) && !spec.value.is_ascii() {
        let hint = if spec.field == RuleField::Dns { ", such as xn--bcher-kva.example" } else { "" };
        report.error(
            &value,
            format_args!(
                "{} matches nothing: certificates hold such names in ASCII (RFC 5280 section 4.2.1.6); write it as it \
                 stands there{hint}",
                shown(&spec.value)
            ),
        );
        return None;
    }
    let case = match spec.field {
        // A rule that denies must not be evaded by writing the name in another way (RFC 4343, and as in mappings).
        RuleField::Dns | RuleField::UserPrincipalName => Case::Insensitive,
        _ => spec.case,
    };
    // Compiled for any source, so that one compilation reports a wrong value and a wrong attribute.
    let part = CompiledRulePart::new(source.clone().unwrap_or(NameKind::Dns), &spec.value, case, spec.values, action);
    report.take(&value, part).filter(|_| source.is_some())
}
