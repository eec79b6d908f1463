//! The adapters' own records (DESIGN A3: `state()`), in the same table as the pairs.

use adapter_api::{AdapterState, InstanceName, StateDone};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::{Batch, Completion, Shard, Store, Table, Urgency};

/// Keeps records of adapters in the store.
pub(crate) struct KeptState(pub(crate) Arc<dyn Store>);

/// Records read at a time.
const PAGE: usize = 1024;

impl AdapterState for KeptState {
    fn put(&self, instance: &InstanceName, key: &[u8], value: Option<Vec<u8>>, done: StateDone) {
        let shard = Shard::of_hash(u128::from_be_bytes(half(key)));
        let mut batch = Batch::new(shard, self.0.position(shard).0);
        let key = [&prefix(instance), key].concat();
        let urgency = match value {
            Some(value) => {
                batch.put(Table::State, key, value);
                Urgency::Urgent
            }
            None => {
                batch.delete(Table::State, key);
                batch = batch.essential();
                Urgency::WriteBehind
            }
        };
        self.0.commit(batch, urgency, Completion::new(move |result| done(result.is_ok())));
    }

    fn all(&self, instance: &InstanceName) -> Vec<(Vec<u8>, Vec<u8>)> {
        let prefix = prefix(instance);
        let mut found = Vec::new();
        for shard in Shard::all() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                match self.0.scan(shard, Table::State, &prefix, after.as_deref(), PAGE) {
                    Ok(page) => {
                        let Some((last, _)) = page.last() else { break };
                        after = Some(last.to_vec());
                        let own = |key: &[u8]| key.get(prefix.len()..).unwrap_or_default().to_vec();
                        found.extend(page.iter().map(|(key, record)| (own(key), record.value.to_vec())));
                    }
                    Err(error) => {
                        tracing::error!(%instance, %error, "what the adapter has kept can't be read");
                        break;
                    }
                }
            }
        }
        found.sort();
        found
    }
}

/// Before the keys of an instance: its name as a hash, so that no name is the beginning of another.
fn prefix(instance: &InstanceName) -> Vec<u8> {
    let mut prefix = vec![b'a'];
    prefix.extend(half(instance.as_str().as_bytes()));
    prefix
}

fn half(octets: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(octets).into();
    let mut half = [0; 16];
    half.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::MemoryStore;

    #[tokio::test]
    async fn each_instance_finds_its_own_records_and_no_others() {
        let state = KeptState(Arc::new(MemoryStore::new()));
        let put = async |instance: &str, key: &[u8], value: Option<&[u8]>| {
            let (done, kept) = tokio::sync::oneshot::channel();
            let value = value.map(<[u8]>::to_vec);
            state.put(&instance.into(), key, value, Box::new(move |kept| done.send(kept).unwrap_or_default()));
            assert!(kept.await.unwrap());
        };
        put("sip", b"b", Some(b"2")).await;
        put("sip", b"a", Some(b"1")).await;
        put("sip2", b"a", Some(b"3")).await;
        assert_eq!(state.all(&"sip".into()), [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        put("sip", b"a", None).await;
        assert_eq!(state.all(&"sip".into()), [(b"b".to_vec(), b"2".to_vec())]);
    }
}
