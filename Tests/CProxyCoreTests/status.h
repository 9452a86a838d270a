// How a test's process tells the runner what became of it.
#ifndef TEST_STATUS_H
#define TEST_STATUS_H

enum test_status { TEST_PASSED = 0, TEST_FAILED = 90, TEST_SKIPPED = 91 };

#endif
