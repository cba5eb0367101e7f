export { BackendError, CheckpointError, ConfigError, DataError } from './common/errors.ts';
