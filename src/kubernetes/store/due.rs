//! Which objects' status differs from what it should be.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde_json::Value;

use super::{Set, Store};
use crate::domain::api::{Kind, NamespacedName};
use crate::domain::policy::lint::MappingFindings;
use crate::domain::store::{MappingReport, PolicyReport, ProfileReport};
use crate::kubernetes::status::{digest, wanted};
use certgate_x509::UnixTime;

/// How long a status that was written and yet is another is left alone. Whoever wrote it has read it; writing back and
/// forth would help nobody.
const CONFLICT_BACKOFF_SECS: u32 = 60;

/// A status to be written.
#[derive(Clone, Debug)]
pub struct Due {
    /// The object's kind.
    pub kind: Kind,
    /// The object.
    pub key: NamespacedName,
    /// The generation that the status is about.
    pub generation: i64,
    /// What it should say, without times.
    pub status: Value,
    /// Its digest.
    pub digest: u64,
}

/// What the objects' status should say, as of the last publication.
#[derive(Debug)]
pub struct WantedStatuses {
    /// Whether it has to be asked anew.
    stale: bool,
    /// Whether anything may differ from what it should be.
    look: bool,
    profiles: HashMap<NamespacedName, ProfileReport>,
    policies: HashMap<NamespacedName, PolicyReport>,
    /// The mappings that something is wrong with.
    mappings: HashMap<NamespacedName, MappingReport>,
    /// What else there is to tell of mappings, where there is.
    findings: HashMap<NamespacedName, MappingFindings>,
    /// Digests of the status of mappings that nothing is wrong with, by generation and what else there is to tell.
    sound: HashMap<(i64, MappingFindings), u64>,
    /// The time as of which a status is told.
    now: UnixTime,
    /// When the status of a profile changes by itself: a CRL of it ends, or ends soon.
    turn: Option<UnixTime>,
}

impl Default for WantedStatuses {
    fn default() -> Self {
        Self {
            stale: false,
            look: false,
            profiles: HashMap::new(),
            policies: HashMap::new(),
            mappings: HashMap::new(),
            findings: HashMap::new(),
            sound: HashMap::new(),
            now: UnixTime::from_secs(0),
            turn: None,
        }
    }
}

impl WantedStatuses {
    /// Time has passed, and with it perhaps what a profile's status should say.
    fn tick(&mut self, now: UnixTime) {
        self.now = now;
        if self.turn.is_some_and(|turn| turn <= now) {
            self.look = true;
            self.note_turn();
        }
    }

    /// Notes when the status of a profile changes by itself next.
    fn note_turn(&mut self) {
        let crls = self.profiles.values().flat_map(|report| &report.crls);
        self.turn = crls.filter_map(|crl| crl.next_change(self.now)).min();
    }

    /// Something was published.
    pub fn outdate(&mut self) {
        self.stale = true;
    }

    /// Somebody wrote a status, or an object came without.
    pub fn look_again(&mut self) {
        self.look = true;
    }

    /// What the status of an object should say; `None` while the core has not seen it.
    fn of(&self, kind: Kind, key: &NamespacedName, generation: i64) -> Option<Value> {
        match kind {
            Kind::TrustProfile => Some(wanted::profile(self.profiles.get(key)?, generation, self.now)),
            Kind::CertificatePolicy => Some(wanted::policy(self.policies.get(key)?, generation)),
            _ => {
                let findings = self.findings.get(key).copied().unwrap_or_default();
                let sound = MappingReport { findings, ..MappingReport::default() };
                Some(wanted::mapping(self.mappings.get(key).unwrap_or(&sound), generation))
            }
        }
    }

    fn digest_of(&mut self, kind: Kind, key: &NamespacedName, generation: i64) -> Option<u64> {
        if kind == Kind::CertificateMapping && !self.mappings.contains_key(key) {
            let findings = self.findings.get(key).copied().unwrap_or_default();
            let sound = MappingReport { findings, ..MappingReport::default() };
            let digest = || digest(&wanted::mapping(&sound, generation));
            return Some(*self.sound.entry((generation, findings)).or_insert_with(digest));
        }
        self.of(kind, key, generation).map(|status| digest(&status))
    }
}

impl Store {
    /// Looks at every status again when it is next asked what is due.
    pub fn look_at_status_again(&mut self) {
        self.wanted.look_again();
    }

    /// At most `most` objects whose status is not what it should be at `now`: profiles and policies before mappings,
    /// and those that changed last before others.
    pub fn due(&mut self, most: usize, now: UnixTime) -> Vec<Due> {
        if !self.published || self.dirty.is_some() {
            return Vec::new();
        }
        self.wanted.tick(now);
        if std::mem::take(&mut self.wanted.stale) {
            self.wanted.profiles =
                self.index.profile_reports().into_iter().map(|r| (r.id.namespaced_name(), r)).collect();
            self.wanted.policies =
                self.index.policy_reports().into_iter().map(|r| (r.id.namespaced_name(), r)).collect();
            let reports = self.index.mapping_reports();
            let is_sound = |report: &MappingReport| report.errors.is_empty() && report.conflicts.is_empty();
            let (sound, unsound): (Vec<_>, Vec<_>) = reports.into_iter().partition(|(_, report)| is_sound(report));
            self.wanted.findings =
                sound.into_iter().map(|(id, report)| (id.namespaced_name(), report.findings)).collect();
            self.wanted.mappings = unsound.into_iter().map(|(id, report)| (id.namespaced_name(), report)).collect();
            self.wanted.look = true;
            self.wanted.note_turn();
        }
        if !std::mem::take(&mut self.wanted.look) {
            return Vec::new();
        }
        let now = self.seconds();
        let Self { sets, wanted, .. } = self;
        // The `most` best so far, the worst of them on top.
        let mut best: BinaryHeap<Reverse<(bool, u32, Kind, &NamespacedName, i64, u64)>> =
            BinaryHeap::with_capacity(most + 1);
        let mut found = 0_usize;
        let ours = sets.iter().filter(|(target, _)| target.kind.is_own());
        for (kind, key, known) in ours
            .flat_map(|(target, Set { objects, .. })| objects.iter().map(move |(key, known)| (target.kind, key, known)))
        {
            let Some(digest) = wanted.digest_of(kind, key, known.generation) else { continue };
            if digest == known.status {
                continue;
            }
            if digest == known.written && now.saturating_sub(known.written_at) < CONFLICT_BACKOFF_SECS {
                // Its event is on the way, or somebody disagrees; then it is looked at again in a minute.
                continue;
            }
            found += 1;
            best.push(Reverse((kind != Kind::CertificateMapping, known.changed, kind, key, known.generation, digest)));
            if best.len() > most {
                best.pop();
            }
        }
        let due: Vec<Due> = best
            .into_sorted_vec()
            .into_iter()
            .filter_map(|Reverse((_, _, kind, key, generation, digest))| {
                Some(Due { kind, key: key.clone(), generation, status: wanted.of(kind, key, generation)?, digest })
            })
            .collect();
        // What was left out is due next time.
        wanted.look = found > due.len();
        self.health.status_backlog(found.saturating_sub(due.len()));
        due
    }

    /// Notes that a status was written, or need not be.
    pub fn note_written(&mut self, due: &Due) {
        let now = self.seconds();
        let sets = self.sets.iter_mut().filter(|(target, _)| target.kind == due.kind);
        for (_, set) in sets {
            if let Some(known) = set.objects.get_mut(&due.key) {
                (known.written, known.written_at) = (due.digest, now);
            }
        }
    }

    /// Seconds of the process's life.
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.health.now() / 1000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api::{ObjectId, Origin};
    use crate::domain::decide::resolved_profile::{CrlKind, CrlSummary};
    use certgate_x509::RevocationPolicy;

    /// Nothing is published when a CRL ends, and yet a status changes: it is looked at then, and only then.
    #[test]
    fn a_status_that_time_changes_is_looked_at_in_time() {
        let at = UnixTime::from_secs;
        let crl = CrlSummary {
            profile: "n/p".into(),
            issuer: "CN=CA".to_owned(),
            kind: CrlKind::Complete,
            scope: String::new(),
            key: None,
            number: None,
            entries: 0,
            this_update: at(1000),
            next_update: Some(at(1400)),
            policy: RevocationPolicy::default(),
        };
        let skew = crl.policy.freshness.clock_skew;
        let id = ObjectId {
            kind: Kind::TrustProfile,
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            origin: Origin::default(),
        };
        let report = ProfileReport {
            id,
            errors: Vec::new(),
            warnings: Vec::new(),
            skipped: Vec::new(),
            unresolved: Vec::new(),
            trust: None,
            crls: vec![crl],
        };
        let mut wanted = WantedStatuses::default();
        wanted.profiles.insert(report.id.namespaced_name(), report);
        wanted.tick(at(1000));
        wanted.note_turn();
        let mut looks = Vec::new();
        for now in 1000..2000 {
            wanted.tick(at(now));
            if std::mem::take(&mut wanted.look) {
                looks.push(now);
            }
        }
        // From a quarter of its life ahead, and from the first second at which it does not count.
        assert_eq!(looks, [1400 + skew - (400 + skew) / 4, 1401 + skew]);
    }
}
