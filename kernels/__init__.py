"""What halfbyte computes with, compiled by Numba for the CPU. Importing this compiles nothing.

    step.py       the forward pass: the loop that walks a model's list of stages
    stages/       the operations that stages have, and their records of words
    limits/       what the machine allows: bytes read and int8 products a second
    products/     matrix products over packed panels
    quantizers/   floats to blocks and back, for conversion
    layouts/      how weights, activations, keys and values lie in memory
    formats/      tensor types of GGUF: blocks, and where a weight's codes lie in them
    sampling/     masks over a row of logits, and where a draw falls
    claims.py     chunks that are made again when a thread is kept away
    pool.py       the threads that work through one job together
    patience.py   how long a thread waits for another's chunk
    vectors/      the vocabulary that kernels are written in, as LLVM
    compiler/     which instructions are compiled for, and the cache of compiled code

Each imports what stands below it. The words that they share:

    block         a format's smallest record: 32 or 256 weights of a row, their codes and scales
    panel         16 rows of a matrix, interleaved so that the lanes of a vector are rows
    strip         two panels, in which products are dealt out
    unit          32 inputs of a panel
    record        32 activations of a token as signed bytes, with their scale and sums;
                  also the words of a stage (stages/record.py)
    page          128 positions of a sequence's keys and values, all layers
    tile          vectors that stay in registers together
    kernel        a function of 64-bit integers, compiled and cached alone, called by its address
    job           a kernel that all threads of the pool run from beginning to end
    stage         an operation of the forward pass; to the pool, chunks in any order
    chunk         a share of a stage, taken by one thread
"""
