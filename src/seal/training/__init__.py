"""Training, whatever is trained: resumable to the last digit, on one device or many.

loop    the steps
feed    batches by their number, made by other processes
state   all that a step changes
memory  activations that are computed again, weights in shards
run     a `TrainingTask`, which says what is trained and for what, and its folder: settings, curve,
        what to go on from, and the result

A run is a folder. It holds the result, `state.safetensors` (what a killed run goes on from),
`curve.jsonl` (the loss of every step). It also holds `manifest.json` (what it was made from and
with) and the events of TensorBoard. What a step sees and what it drops depends on the seed and the
step's number alone, so that a run that was killed makes the same steps again.
"""
