//! What certgate tells about objects, in their status.

mod types;

pub use types::{
    AnchorStatus, CertificateMappingStatus, CertificatePolicyStatus, Condition, ConditionStatus, TrustProfileStatus,
};
