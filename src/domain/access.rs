//! Who asks: roles, and the actor that every mutating call carries.

use super::ids::{ApiKeyId, TenantId};
use super::text::words;

words! {
    /// What a credential may do. The table of RPCs and roles stands in `grpc::auth`.
    Role, "role" {
        /// A softphone: asks for calls, follows them, says how they went, records opt-outs and consents it hears.
        Agent = "agent",
        /// An administrator of opt-outs, consents and contacts.
        Administrator = "administrator",
        /// The second person of a lift: approves what an administrator asked for, and records nothing else.
        Approver = "approver",
        /// Reads decisions, calls and records; changes nothing.
        Auditor = "auditor",
    }
}

/// A credential that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose data it may touch.
    pub tenant: TenantId,
    /// The key it came with.
    pub api_key_id: ApiKeyId,
    /// The name that the key was made under.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Principal {
    /// The text by which rows name who acted.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("key:{}:{}", self.name, self.api_key_id)
    }
}

/// An API key as stored: never the secret, only its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public half.
    pub api_key_id: ApiKeyId,
    /// Whose data.
    pub tenant: TenantId,
    /// Name given to it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the secret half.
    pub secret_hash: [u8; 32],
}
