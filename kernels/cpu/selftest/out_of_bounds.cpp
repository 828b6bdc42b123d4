// A planted fault: one thread too many writes. Under the AddressSanitizer this program must be stopped; without it the
// write goes unseen, so the test runner runs it in the sanitized build alone and expects it to fail.
#include "check.h"

void one_too_far(float* y) { y[threadIdx.x] = 1; }

int main() {
    Floats y = unwritten(31);
    RUN(one_too_far, 1, 32, 0, 0, y.data());
    printf("out of bounds: nothing stopped it\n");
}
