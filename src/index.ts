export { BackendError, CheckpointError, ConfigError } from './common/errors.ts';
