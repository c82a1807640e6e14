// Tensors of classes of their own that wrap others: those that torch.distributed spreads over processes, and those of libraries.
import { OtherTensor, type PickleValue, PythonGlobal, PythonObject } from './values.js';
import { TorchTensor } from './torch-tensor.js';

/** How they are saved: `_rebuild_from_type_v2(_rebuild_wrapper_subclass, class, (class, dtype, shape, ...), state)`. */
export const wrapperCall = 'torch._tensor._rebuild_from_type_v2';
const wrapperBuilder = 'torch._utils._rebuild_wrapper_subclass';

/** Spread, or there as a whole; a `Partial` has yet to be added up. */
const placed = /\.(?:Replicate|Shard|_StridedShard)$/;

const isSpread = /^torch\.distributed\.[\w.]*\.(?:DTensor|ShardedTensor)$/;

/**
 * @param args - of `wrapperCall`
 * @returns the tensor itself where this process had all of it; undefined for a tensor of another kind
 */
export function wrappedTensor(args: readonly PickleValue[]): TorchTensor | OtherTensor | undefined {
  const [builder, type, inner, state = null] = args;
  if (!(builder instanceof PythonGlobal) || builder.name !== wrapperBuilder) return undefined;
  if (!(type instanceof PythonGlobal) || !Array.isArray(inner)) return undefined;
  const [, , sizes] = inner;
  const shape = Array.isArray(sizes) && sizes.every(isSize) ? sizes : undefined;
  const whole = wholeOf(state, shape);
  if (whole !== undefined) return whole;
  return new OtherTensor(builder.name, [...args], {
    ...(isSpread.test(type.name)
      ? {
          what: `a part of a tensor that was spread over processes (${type.name})`,
          advice:
            'Save all of it where it was trained: torch.save(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)), ' +
            '"weights.pt"), with both names from torch.distributed.checkpoint.state_dict.',
        }
      : {
          what: `a tensor of the class ${type.name}`,
          advice: 'Convert it where it was saved into a plain tensor, such as with .dequantize().',
        }),
    shape,
  });
}

const isSize = (size: PickleValue): size is number =>
  Number.isSafeInteger(size) && Number(size) >= 0;

/** What this process had of a DTensor, where that is the whole. */
function wholeOf(
  state: PickleValue,
  shape: readonly number[] | undefined,
): TorchTensor | undefined {
  // The attributes of the object, or a pair with those of its slots.
  const attributes = (Array.isArray(state) ? state : [state]).find(
    (part): part is Map<PickleValue, PickleValue> =>
      part instanceof Map && part.has('_local_tensor'),
  );
  const local = attributes?.get('_local_tensor');
  const spec = attributes?.get('_spec');
  if (!(local instanceof TorchTensor) || !(spec instanceof PythonObject)) return undefined;
  const placements = spec.state instanceof Map ? spec.state.get('placements') : undefined;
  const isPlaced =
    Array.isArray(placements) &&
    placements.every((place) => place instanceof PythonObject && placed.test(place.global));
  return isPlaced && shape?.join() === local.shape.join() ? local : undefined;
}
