//! The status of certgate's own kinds: its types, and the conditions that an object should have ([`wanted`]).
//!
//! Pure: [`super::status_writer`] writes it, on the replica that leads ([`super::lease`]).

mod types;
pub mod wanted;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

pub use types::{
    AnchorStatus, CertificateMappingStatus, CertificatePolicyStatus, Condition, ConditionStatus, CrlStatus,
    TrustProfileStatus,
};

/// What a status says, whenever it came to be: equal for statuses that differ in transition times and the order of keys
/// alone. Never 0, which stands for no status.
pub fn digest(status: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash(status, &mut hasher);
    hasher.finish().max(1)
}

fn hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().filter(|key| *key != "lastTransitionTime").collect();
            keys.sort_unstable();
            for key in keys {
                key.hash(hasher);
                hash(&fields[key], hasher);
            }
            1_u8.hash(hasher);
        }
        // The server sorts nothing, but conditions are a map by type.
        Value::Array(items) => {
            let mut digests: Vec<_> = items.iter().map(digest).collect();
            if items.iter().all(|item| item.get("type").is_some()) {
                digests.sort_unstable();
            }
            digests.hash(hasher);
        }
        Value::String(text) => text.hash(hasher),
        Value::Null => 2_u8.hash(hasher),
        Value::Bool(bit) => bit.hash(hasher),
        Value::Number(number) => number.as_i64().hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_is_about_what_is_said() {
        let one =
            json!({"a": 1, "conditions": [{"type": "A", "lastTransitionTime": "x"}, {"type": "B", "status": "True"}]});
        let same =
            json!({"conditions": [{"status": "True", "type": "B"}, {"type": "A", "lastTransitionTime": "y"}], "a": 1});
        let other = json!({"a": 1, "conditions": [{"type": "A"}, {"type": "B", "status": "False"}]});
        assert_eq!(digest(&one), digest(&same));
        assert_ne!(digest(&one), digest(&other));
        assert_ne!(digest(&json!({"a": ["x", "y"]})), digest(&json!({"a": ["y", "x"]})));
    }
}
