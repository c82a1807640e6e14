import { expect, it, vi } from 'vitest';

const client = vi.hoisted(() => ({ loads: 0 }));

vi.mock('@huggingface/hub', async (load) => {
  client.loads++;
  return load();
});

it('programs have the client of the hub from their first question on, not from their import', async () => {
  const { HubError, fetchFromHub, fetchPublished, pushToHub } = await import('../index.js');
  await import('../workflows/index.js');
  expect(client.loads).toBe(0);
  await expect(fetchFromHub('nowhere')).rejects.toThrow('nowhere');
  expect(client.loads).toBe(1);
  await expect(
    fetchFromHub('hf:owner/name:x.safetensors', { offline: true, cacheDir: '/nowhere' }),
  ).rejects.toThrow(HubError);
  await expect(fetchPublished('nobody')).rejects.toThrow('nobody');
  await expect(pushToHub('/nowhere', 'owner/name', { token: 'hf_x' })).rejects.toThrow('/nowhere');
  expect(client.loads).toBe(1);
});
